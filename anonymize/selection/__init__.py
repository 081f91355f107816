"""Which tracks and places are drawn, and how: the user's edits and regions."""

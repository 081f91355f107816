"""What an operator changes between finding people and drawing them: the tracks file, and regions."""

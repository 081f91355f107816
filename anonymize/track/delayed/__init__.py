"""Second phase, when a frame leaves the look-ahead: identities are decided with what came after it."""

"""Training of the embedded weights (extra `train`)."""

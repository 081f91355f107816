"""New people in place of those found: one latent a track, nothing of the original in."""

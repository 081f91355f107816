"""Bodies that are fitted to people and drawn in their place: what `--mode avatar` is made of."""

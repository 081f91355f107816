"""Weights of others: where they come from, and where they are kept on this machine."""

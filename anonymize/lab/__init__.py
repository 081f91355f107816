"""What makes and measures the weights; the product runs without it."""

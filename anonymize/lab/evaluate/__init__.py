"""Figures: how well people are found."""

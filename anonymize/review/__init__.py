"""A page on this machine, on which what was found in a film is corrected: see `serve_review`."""

from anonymize.review.serve import Review, serve_review

__all__ = ["Review", "serve_review"]

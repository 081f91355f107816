"""Opens the page and serves it until it is interrupted."""

from __future__ import annotations

import threading
from collections.abc import Callable

from anonymize.review.server import ReviewServer
from anonymize.review.session import Review, Session

__all__ = ["Review", "serve_review"]


def serve_review(review: Review, opened: Callable[[str], None], *, port: int = 0) -> None:
    """Serve the page on which the tracks of a film are corrected, until the thread is interrupted.

    Args:
        review: What is reviewed.
        opened: Is told the address, once it answers.
        port: Of 127.0.0.1; 0 for a free one.

    Raises:
        AnonymizeError: Film or tracks cannot be read, or do not belong together; or the port is taken.
    """
    with Session(review) as session, ReviewServer(session, port) as server:
        thread = threading.Thread(target=server.serve_forever, name="serve", daemon=True)
        thread.start()
        try:
            opened(server.address)
            thread.join()
        finally:
            server.shutdown()

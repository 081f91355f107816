"""Which frames a film's packets promise, so that those that never come out are noticed."""

from __future__ import annotations

from collections import deque
from typing import Any

import av

ONE_PACKET_ONE_FRAME = {"h264", "hevc", "vp9", "av1", "libdav1d", "libaom-av1", "prores", "ffv1"}
"""Decoders that give one frame for each packet of MP4 or Matroska, so that a frame that does not come is noticed."""


class ExpectedFrames:
    """Books packets on their way into the decoder and frames on their way out.

    Args:
        container: libav's name of the container.
        codec: libav's name of the decoder.
        sought: Decoding begins inside of the film: the first pictures may lean on others that lie before them.

    Attributes:
        one_to_one: Each packet gives one frame.
        clean_from: Presentation time of the first key frame; what comes before it leans on what is not there. None
            before it.
    """

    def __init__(self, container: str, codec: str, *, sought: bool) -> None:
        self.one_to_one = codec in ONE_PACKET_ONE_FRAME and ("mp4" in container or "matroska" in container)
        self.clean_from: int | None = None
        self._by_order = container == "avi"  # AVI stores no presentation times; its frames follow each other evenly.
        self._sought = sought
        self._waiting: set[int] = set()  # Presentation times of packets whose frame has not come out.
        self._order: deque[int] = deque()

    def time_of(self, packet: av.Packet[Any]) -> int | None:
        """When the frame of a packet is to be shown."""
        return packet.dts if self._by_order else packet.pts

    def begin(self, packet: av.Packet[Any], time: int) -> None:
        """Note where clean frames begin; call it for every packet, before `promise`."""
        # MP4 and Matroska begin with a key frame, even where damage makes it look like another.
        if self.clean_from is None and (packet.is_keyframe or (self.one_to_one and not self._sought)):
            self.clean_from = time
        self._sought = self._sought or self.clean_from is None

    def promise(self, packet: av.Packet[Any], time: int) -> None:
        """Note that a packet goes into the decoder."""
        if self._by_order:
            self._order.append(time)
        elif self.one_to_one and not packet.is_discard:
            self._waiting.add(time)

    def next_due(self) -> int | None:
        """Time of the frame that the decoder has just failed to give; None where that is unknown."""
        return self._order.popleft() if self._order else min(self._waiting, default=None)

    def arrive(self, picture: av.VideoFrame) -> list[int]:
        """Give a decoded picture its time, and return the times of clean frames that were due before it."""
        if self._by_order and self._order:
            picture.pts = self._order.popleft()
        elif picture.pts is None:
            picture.pts = picture.dts if picture.dts is not None else 0
        pts = picture.pts or 0
        overdue = sorted(time for time in self._waiting if time <= pts)
        self._waiting.difference_update(overdue)
        return [time for time in overdue if self._is_clean(time) and time < pts]

    def leans_on_missing(self, picture: av.VideoFrame) -> bool:
        """Whether a picture that has arrived comes before the first key frame, which is no damage."""
        return self._sought and self.clean_from is not None and (picture.pts or 0) < self.clean_from

    def missing(self) -> list[int]:
        """Times of clean frames that have not come out; to be asked at the end."""
        return [time for time in sorted(self._waiting) if self._is_clean(time)]

    def _is_clean(self, time: int) -> bool:
        return self.clean_from is not None and self.clean_from <= time

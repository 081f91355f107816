"""What a container says beside picture and sound, and what of it may identify a person."""

from __future__ import annotations

from typing import Any

import av

TECHNICAL = {
    "alpha_mode", "bps", "compatible_brands", "duration", "encoder", "language", "major_brand", "minor_version",
    "number_of_bytes", "number_of_frames", "rotate", "statistics", "vendor_id",
}  # fmt: skip
"""Tags that muxers write by themselves; they are neither listed nor carried over."""
GENERIC_NAMES = {"VideoHandler", "SoundHandler", "SubtitleHandler", "DataHandler", ""}
"""Names of tracks that tell nothing of who made them."""


def identifying_tags(metadata: dict[str, str]) -> dict[str, str]:
    """The tags that were not written by a muxer: place, device, time, names, comments."""
    return {
        key: value
        for key, value in metadata.items()
        if key.lower() not in TECHNICAL
        and not key.lower().startswith("_statistics")
        and key.lower().split("-")[0] not in {"bps", "duration", "number_of_frames", "number_of_bytes"}
        and not (key.lower() == "handler_name" and value in GENERIC_NAMES)
    }


def copy_tags(source: Any, target: Any) -> None:
    """Carry the tags of a container or stream over."""
    target.metadata.update(identifying_tags(source.metadata))


def describe(container: Any, stream: Any) -> list[str]:
    """What a container holds that may identify a person, one short line each.

    Args:
        container: The input.
        stream: The stream whose pictures are anonymized; other pictures are never copied, so they are no metadata.
    """
    told = [f"tag {key}" for key in sorted(identifying_tags(container.metadata))]
    for other in container.streams:
        if other.index == stream.index or other.type in {"audio", "subtitle"}:
            keys = sorted(identifying_tags(other.metadata))
            told += [f"tag {key} of {other.type} track {other.index}" for key in keys]
        elif other.type == "attachment":
            told.append(f"attachment {other.metadata.get('filename', other.index)}")
        elif other.type != "video":
            told.append(f"data track {other.index}" + (f" ({name})" if (name := data_name(other)) else ""))
    if chapters := len(container.chapters()):
        told.append("1 chapter" if chapters == 1 else f"{chapters} chapters")
    return told


def other_pictures(container: Any, stream: Any) -> list[str]:
    """Pictures that are never copied, because they would show people as they are; one warning each."""
    warnings = []
    for other in container.streams.video:
        if other.index == stream.index:
            continue
        if other.disposition & av.stream.Disposition.attached_pic:
            warnings.append(f"the cover picture (track {other.index}) is left out")
        else:
            warnings.append(f"picture track {other.index} is left out; only the first one is kept")
    return warnings


def data_name(stream: Any) -> str:
    """What kind of data a track holds, as far as it is told."""
    return getattr(stream, "name", None) or identifying_tags(stream.metadata).get("handler_name", "").strip()

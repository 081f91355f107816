"""Rounds people to what a tracks file can hold.

A plain run rounds as well, before it draws, so that `detect` and `render` make the same film as one run does.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from anonymize.compose.margin import COVERED_FROM
from anonymize.core.errors import AnonymizeError
from anonymize.core.masks import tighten
from anonymize.core.types import Frame, Tracks
from anonymize.track.model.surface_size import shrink

BODY_THRESHOLD = 0.5
_INT8, _UINT8 = 127, 255


def quantize(tracked: Iterable[tuple[Frame, Tracks]], *, with_surface: bool) -> Iterator[tuple[Frame, Tracks]]:
    """A stage that rounds people to what a tracks file can hold.

    Masks lose empty rows and columns. Surfaces become 56 x 56, in whole numbers, near the body only.

    Args:
        tracked: Frames and their people.
        with_surface: Keep the surface predictions, which only a generator has a use for. Without, people count as
            without CSE, and of the surface only stays which cells are covered, which holds for any mode.
    """
    for frame, tracks in tracked:
        yield frame, quantize_tracks(tracks, with_surface=with_surface)


def quantize_tracks(tracks: Tracks, *, with_surface: bool) -> Tracks:
    """The people of one frame, see `quantize`."""
    found = tracks.detections
    embeddings, segmentations = None, None
    if found.embeddings is not None and found.segmentations is not None and found.has_cse.any():
        directions = found.embeddings if with_surface else found.embeddings[:, :0]
        embeddings, segmentations = quantize_surface(directions, found.segmentations)
        embeddings[~found.has_cse], segmentations[~found.has_cse] = 0, 0
        if not with_surface:
            segmentations = (segmentations > COVERED_FROM).float()
    has_cse = found.has_cse if with_surface else np.zeros(len(found), np.bool_)
    masks = tuple(tighten(mask) for mask in found.masks)
    found = replace(found, masks=masks, has_cse=has_cse, embeddings=embeddings, segmentations=segmentations)
    return replace(tracks, detections=found)


def quantize_surface(embeddings: Tensor, segmentations: Tensor) -> tuple[Tensor, Tensor]:
    """Surfaces in whole numbers.

    Args:
        embeddings: [N, D, S, S] float; only directions have a meaning. D may be 0.
        segmentations: [N, S, S] float in [0, 1].

    Returns:
        Embeddings [N, D, s, s] float32, integers in [-127, 127], 0 away from the body, and segmentations [N, s, s]
        float32 in steps of 1/255, both on the CPU; s is at most 56.
    """
    body = (shrink(segmentations.float()).cpu() * _UINT8).round().clamp(0, _UINT8)
    if not embeddings.shape[1]:
        return body.new_zeros((len(body), 0, *body.shape[1:])), body / _UINT8
    small = shrink(embeddings.float()).cpu()
    near = _near(body)[:, None]
    largest = (small * near).abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12)
    return (small / largest * _INT8).round() * near, body / _UINT8


def pack_surface(embedding: Tensor, segmentation: Tensor) -> str:
    """A quantized surface [D, s, s] and [s, s] as text: base64 of zlib of bytes.

    The bytes: the segmentation, s * s of 0 to 255 row by row; then for each of the D channels the embedding, signed
    bytes, of the cells within one cell of a segmentation above one half.
    """
    body = (segmentation * _UINT8).round().to(torch.uint8).numpy()
    near = _near(torch.from_numpy(body[None].astype(np.float32)))[0].numpy()
    values = embedding.to(torch.int8).numpy()[:, near]
    return base64.b64encode(zlib.compress(body.tobytes() + values.tobytes(), 6)).decode("ascii")


def unpack_surface(text: str, channels: int, size: int) -> tuple[Tensor, Tensor]:
    """The surface of a text: embedding [D, s, s] and segmentation [s, s], float32.

    Raises:
        AnonymizeError: The text is no surface of this size.
    """
    try:
        inflate = zlib.decompressobj()
        packed = inflate.decompress(base64.b64decode(text, validate=True), (channels + 1) * size * size)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise AnonymizeError(f"a surface is damaged: {error}") from error
    body = np.frombuffer(packed[: size * size], np.uint8)
    if body.size != size * size:
        raise AnonymizeError("a surface is damaged: it is too short")
    body = body.reshape(size, size)
    near = _near(torch.from_numpy(body[None].astype(np.float32)))[0].numpy()
    values = np.frombuffer(packed[size * size :], np.int8)
    if values.size != channels * np.count_nonzero(near):
        raise AnonymizeError("a surface is damaged: it has another length")
    embedding = np.zeros((channels, size, size), np.float32)
    embedding[:, near] = values.reshape(channels, int(np.count_nonzero(near)))
    return torch.from_numpy(embedding), torch.from_numpy(body.astype(np.float32)) / _UINT8


def _near(bodies: Tensor) -> Tensor:
    """The cells [N, s, s] within one cell of the body, of segmentations [N, s, s] of 0 to 255."""
    return F.max_pool2d((bodies > BODY_THRESHOLD * _UINT8).float(), 3, 1, 1) > 0

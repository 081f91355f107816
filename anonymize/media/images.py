"""Pictures in and out: PNG, JPEG, WebP, BMP, TIFF."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from anonymize.core.errors import MediaError
from anonymize.core.files import check_input, check_output, whole_file
from anonymize.core.formats import IMAGE_SUFFIXES, image_suffix
from anonymize.core.types import Frame, UInt8Array
from anonymize.media.orientation import Orientation

DEEP_SUFFIXES = frozenset({".png", ".tif", ".tiff"})
"""Formats that hold 16 bits per sample."""
ALPHA_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".webp"})
QUALITY = 95
"""Of JPEG and WebP, 0 to 100."""
ORIENTATION, EXIF_IFD, GPS_IFD, MAKER_NOTE = 0x0112, 0x8769, 0x8825, 0x927C
"""EXIF tags."""
STRUCTURE = frozenset(
    {0x00FE, 0x00FF, 0x010A, 0x0111, 0x0112, 0x0128, 0x013D, 0x013E, 0x013F, 0x0140, 0x0152, 0x0153, 0x02BC, 0x8773}
    | {*range(0x0100, 0x0107), *range(0x0115, 0x011D), *range(0x0142, 0x0146), *range(0x0211, 0x0215)}
)
"""Tags that say how a TIFF is stored rather than who took it; they belong to the file that was read."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture as it was read, upright; it is `Frame.source` of pictures.

    Attributes:
        path: Where it was read.
        samples: [H, W] grey, [H, W, 3] BGR or [H, W, 4] BGRA; uint8 or uint16.
        exif: The EXIF block without what shows the picture once more (thumbnail, maker's note); empty for none.
        profile: The ICC profile, which says how the colours are meant; empty for none.
        identifying: What the file says beside the picture, one short line each.
    """

    path: Path
    samples: npt.NDArray[Any]
    exif: bytes = b""
    profile: bytes = b""
    identifying: tuple[str, ...] = ()


def result_name(name: str) -> str:
    """What the anonymized copy of a picture is called: as the picture, with a suffix that can be written."""
    return name if Path(name).suffix.lower() in IMAGE_SUFFIXES else f"{name}.png"


def read_size(path: Path | str) -> tuple[int, int] | None:
    """Height and width of a picture, upright, by its header; None where only decoding it tells."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                return Orientation.from_exif(image.getexif().get(ORIENTATION, 1)).size((image.height, image.width))
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        return None


def read_image(path: Path | str) -> Frame:
    """Read a picture, turned upright as its EXIF says.

    Returns:
        A frame whose image is 8-bit RGB, without transparency. Its source keeps all bits and the transparency.

    Raises:
        MediaError: There is no such picture, it is damaged, animated, or of another kind.
    """
    path = Path(path)
    check_input(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MediaError(f"cannot read {path}: {error.strerror}") from error
    orientation, exif, profile, identifying = _header(path, data)
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        decoded: Any = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise MediaError(f"cannot read {path}: it is not a picture, or it is damaged") from error
    if decoded is None:
        raise MediaError(f"cannot read {path}: it is not a picture, or it is damaged")
    if decoded.dtype not in (np.uint8, np.uint16) or (decoded.ndim == 3 and decoded.shape[2] not in {3, 4}):
        raise MediaError(f"cannot read {path}: pictures of {decoded.dtype} {decoded.shape} are not supported")
    if not data.startswith((b"II", b"MM")):  # OpenCV turns TIFF itself, whatever it is told.
        decoded = orientation.upright(decoded)
    samples = np.ascontiguousarray(decoded)
    return Frame(_to_rgb(samples), source=Picture(path, samples, exif, profile, identifying))


def check_image_output(path: Path | str, source: Path | str | None = None, *, overwrite: bool = False) -> None:
    """Find out early whether a picture may be written.

    Args:
        path: The output.
        source: The input, which must not be overwritten.
        overwrite: Replace an existing file.

    Raises:
        MediaError: The picture cannot be written there.
        OptionError: The suffix is not one of a picture.
    """
    image_suffix(Path(path))
    check_output(path, source=None if source is None else Path(source), overwrite=overwrite)


def write_image(
    path: Path | str, frame: Frame, *, keep_metadata: bool = False, overwrite: bool = False
) -> tuple[str, ...]:
    """Write a picture; where nothing was edited, its samples are those that were read.

    16 bits per sample and transparency are kept where the format holds them (PNG, TIFF; WebP transparency). The colour
    profile is kept. EXIF is left out unless asked for; thumbnails, maker's notes and XMP always, because they can show
    the picture as it was.

    Args:
        path: The output; its suffix chooses the format.
        frame: From `read_image` with edits, or any picture without a source.
        keep_metadata: Keep EXIF (place, device, time).
        overwrite: Replace an existing file.

    Returns:
        What the user should know, one line each.

    Raises:
        MediaError: The picture cannot be written there.
        OptionError: The suffix is not one of a picture.
    """
    path, notes = Path(path), []
    suffix = image_suffix(path)
    source = frame.source if isinstance(frame.source, Picture) else Picture(Path(), _to_bgr(frame.image))
    samples = source.samples if frame.edited is None else _edited(source.samples, frame.image, frame.edited)
    if samples.ndim == 3 and samples.shape[2] == 4 and suffix not in ALPHA_SUFFIXES:
        notes.append(f"{suffix} has no transparency; it is not kept")
        samples = np.ascontiguousarray(samples[..., :3])
    if samples.dtype == np.uint16 and suffix not in DEEP_SUFFIXES:
        notes.append(f"{suffix} stores 8 bits per sample, the picture has 16")
        samples = (samples >> 8).astype(np.uint8)
    with whole_file(path, source=source.path if frame.source is not None else None, overwrite=overwrite) as partial:
        extra = {"EXIF": source.exif if keep_metadata else b"", "ICCP": source.profile}
        data, lost = _encode(suffix, samples, {name: block for name, block in extra.items() if block})
        notes += lost
        if source.identifying and not (keep_metadata and source.exif):
            notes.append(f"left out because it may identify: {', '.join(source.identifying)}")
        partial.write_bytes(data)
    return tuple(notes)


def _header(path: Path, data: bytes) -> tuple[Orientation, bytes, bytes, tuple[str, ...]]:
    """What a picture says beside its samples; also finds damage that OpenCV would paint over in grey."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of huge pictures and odd EXIF blocks.
            with Image.open(io.BytesIO(data)) as image:
                if getattr(image, "n_frames", 1) > 1:
                    raise MediaError(f"cannot read {path}: it has several pictures, which is not supported")
                image.load()
                exif = image.getexif()
                orientation = Orientation.from_exif(exif.get(ORIENTATION, 1))
                for tag in STRUCTURE & set(exif):
                    del exif[tag]
                identifying = ["EXIF with a place"] if exif.get_ifd(GPS_IFD) else ["EXIF"] if len(exif) else []
                identifying += [name for key, name in (("xmp", "XMP"), ("comment", "comment")) if image.info.get(key)]
                identifying += sorted(f"text {key}" for key in getattr(image, "text", {}) if not key.startswith("XML"))
                exif.get_ifd(EXIF_IFD).pop(MAKER_NOTE, None)
                block = exif.tobytes().removeprefix(b"Exif\0\0") if len(exif) else b""
                return orientation, block, image.info.get("icc_profile") or b"", tuple(identifying)
    except UnidentifiedImageError:
        return Orientation(), b"", b"", ()  # OpenCV may know it.
    except MediaError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise MediaError(f"cannot read {path}: it is damaged, cut short or too large") from error


def _to_rgb(samples: npt.NDArray[Any]) -> UInt8Array:
    eight = samples if samples.dtype == np.uint8 else (samples >> 8).astype(np.uint8)
    if eight.ndim == 2:
        eight = np.repeat(eight[..., None], 3, axis=2)
    return np.ascontiguousarray(eight[..., 2::-1])


def _to_bgr(image: UInt8Array) -> UInt8Array:
    return np.ascontiguousarray(image[..., ::-1])


def _edited(samples: npt.NDArray[Any], image: UInt8Array, edited: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """The samples with the edited pixels of `image`; a grey picture stays grey as long as the edits are."""
    pixels: npt.NDArray[Any] = image[edited][:, ::-1]
    if samples.dtype == np.uint16:
        pixels = pixels.astype(np.uint16) * 257
    if samples.ndim == 2 and not (pixels == pixels[:, :1]).all():
        samples = np.repeat(samples[..., None], 3, axis=2)
    changed = samples.copy()
    if changed.ndim == 2:
        changed[edited] = pixels[:, 0]
    else:
        changed[..., :3][edited] = pixels
    return changed


def _encode(suffix: str, samples: npt.NDArray[Any], extra: dict[str, bytes]) -> tuple[bytes, list[str]]:
    """The file's bytes, and what could not be put into it."""
    parameters = [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_WEBP_QUALITY, QUALITY]
    parameters = {".jpg": parameters[:2], ".jpeg": parameters[:2], ".webp": parameters[2:]}.get(suffix, [])
    names = {"EXIF": "EXIF", "ICCP": "the colour profile"}
    holds = {".bmp": (), ".tif": (), ".tiff": ()}.get(suffix, ("EXIF", "ICCP"))
    if not hasattr(cv2, "imencodeWithMetadata"):  # OpenCV before 4.12
        holds = ()
    held = [name for name in extra if name in holds]
    lost = [f"{suffix} is written without {names[name]}" for name in extra if name not in holds]
    try:
        if held:
            kinds = [int(getattr(cv2, f"IMAGE_METADATA_{name}")) for name in held]
            blocks = [np.frombuffer(extra[name], np.uint8) for name in held]
            done, data = cv2.imencodeWithMetadata(suffix, samples, kinds, blocks, parameters)
        else:
            done, data = cv2.imencode(suffix, samples, parameters)
    except cv2.error as error:
        raise MediaError(f"the picture cannot be stored as {suffix}") from error
    if not done:
        raise MediaError(f"the picture cannot be stored as {suffix}")
    return np.asarray(data).tobytes(), lost

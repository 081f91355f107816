from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from anonymize.core.errors import MediaError, OptionError
from anonymize.core.types import Frame
from anonymize.media import is_image, read_image, write_image

SUFFIXES = ("png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff")
LOSSLESS = ("png", "bmp", "tif", "tiff")
BOX = slice(10, 30), slice(5, 25)


@pytest.fixture
def rgb(picture) -> np.ndarray:
    return picture(3, (48, 64))


def edit(frame: Frame, colour: tuple[int, int, int] = (255, 0, 255)) -> Frame:
    edited = np.zeros(frame.size_hw, bool)
    edited[BOX] = True
    image = np.zeros_like(frame.image)  # What is not marked is not written.
    image[edited] = colour
    return frame.with_edit(image, edited)


def save(path: Path, rgb: np.ndarray, **extra: Any) -> Path:
    Image.fromarray(rgb).save(path, **extra)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_there_and_back(tmp_path: Path, rgb: np.ndarray, suffix: str) -> None:
    source = save(tmp_path / f"in.{suffix}", rgb, **({"quality": 95} if suffix in {"jpg", "jpeg", "webp"} else {}))
    frame = read_image(source)
    assert frame.size_hw == (48, 64) and frame.image.dtype == np.uint8 and frame.image.flags.c_contiguous
    assert np.abs(frame.image.astype(int) - rgb).mean() < (0.1 if suffix in LOSSLESS else 4)
    assert write_image(tmp_path / f"out.{suffix}", edit(frame)) == ()
    result = read_image(tmp_path / f"out.{suffix}").image
    assert np.abs(result[12:28, 7:23].astype(int) - (255, 0, 255)).mean() < 6
    unedited = result[32:], frame.image[32:]
    assert np.abs(unedited[0].astype(int) - unedited[1]).mean() < (0.1 if suffix in LOSSLESS else 3)
    assert not any("partial" in path.name for path in tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff"])
@pytest.mark.parametrize("value", range(1, 9))
def test_exif_orientation(tmp_path: Path, rgb: np.ndarray, suffix: str, value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    source = save(tmp_path / f"in.{suffix}", rgb, exif=exif)
    expected = rgb if value == 1 else None
    turned = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # PIL's names for undoing them
    if expected is None:
        expected = np.asarray(Image.fromarray(rgb).transpose(Image.Transpose(turned[value])))
    frame = read_image(source)
    assert frame.size_hw == expected.shape[:2]
    assert np.abs(frame.image.astype(int) - expected).mean() < 5
    write_image(tmp_path / f"out.{suffix}", frame, keep_metadata=True)
    assert np.abs(read_image(tmp_path / f"out.{suffix}").image.astype(int) - expected).mean() < 5


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
def test_transparency_is_kept(tmp_path: Path, rgb: np.ndarray, suffix: str) -> None:
    alpha = np.full((48, 64, 1), 255, np.uint8)
    alpha[:, :20] = 90
    save(
        tmp_path / f"in.{suffix}",
        np.concatenate([rgb, alpha], axis=2),
        **({"lossless": True} if suffix == "webp" else {}),
    )
    frame = read_image(tmp_path / f"in.{suffix}")
    assert write_image(tmp_path / f"out.{suffix}", edit(frame)) == ()
    with Image.open(tmp_path / f"out.{suffix}") as image:
        assert image.mode == "RGBA"
        assert (np.asarray(image)[..., 3:] == alpha).all()
    assert write_image(tmp_path / "out.jpg", edit(frame)) == (".jpg has no transparency; it is not kept",)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_kept(tmp_path: Path, suffix: str, channels: int) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (48, 64, channels)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / f"in.{suffix}"), deep)
    frame = read_image(tmp_path / f"in.{suffix}")
    assert write_image(tmp_path / f"out.{suffix}", edit(frame, (80, 80, 80))) == ()
    result = cv2.imread(str(tmp_path / f"out.{suffix}"), cv2.IMREAD_UNCHANGED).reshape(48, 64, channels)
    assert result.dtype == np.uint16
    assert (result[BOX] == 80 * 257).all()
    result[BOX] = deep[BOX]
    assert (result == deep).all()
    assert write_image(tmp_path / "out.jpg", frame) == (".jpg stores 8 bits per sample, the picture has 16",)


def test_a_grey_picture_stays_grey_as_long_as_it_can(tmp_path: Path, rgb: np.ndarray) -> None:
    save(tmp_path / "in.png", rgb[..., 0])
    frame = read_image(tmp_path / "in.png")
    write_image(tmp_path / "grey.png", edit(frame, (9, 9, 9)))
    write_image(tmp_path / "colour.png", edit(frame))
    assert cv2.imread(str(tmp_path / "grey.png"), cv2.IMREAD_UNCHANGED).ndim == 2
    assert read_image(tmp_path / "colour.png").image[20, 15].tolist() == [255, 0, 255]


def test_a_picture_without_a_source(tmp_path: Path, rgb: np.ndarray) -> None:
    assert write_image(tmp_path / "out.png", Frame(rgb)) == ()
    assert (read_image(tmp_path / "out.png").image == rgb).all()


# Metadata


def phone_picture(path: Path, rgb: np.ndarray) -> Path:
    exif = Image.Exif()
    exif[0x010F] = "PhoneMaker"
    exif.get_ifd(0x8769)[0x927C] = b"maker's note with a preview"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return save(path, rgb, exif=exif, icc_profile=profile)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_what_identifies_is_stripped_and_told(tmp_path: Path, rgb: np.ndarray, suffix: str) -> None:
    frame = read_image(phone_picture(tmp_path / f"in.{suffix}", rgb))
    notes = write_image(tmp_path / f"out.{suffix}", edit(frame))
    assert notes == ("left out because it may identify: EXIF with a place",)
    assert b"PhoneMaker" not in (tmp_path / f"out.{suffix}").read_bytes()
    with Image.open(tmp_path / f"out.{suffix}") as image:
        assert len(image.getexif()) == 0
        assert image.info["icc_profile"] == frame.source.profile != b""


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_exif_is_kept_on_demand_but_not_what_shows_the_picture(tmp_path: Path, rgb: np.ndarray, suffix: str) -> None:
    frame = read_image(phone_picture(tmp_path / f"in.{suffix}", rgb))
    assert write_image(tmp_path / f"out.{suffix}", edit(frame), keep_metadata=True) == ()
    assert b"maker's note" not in (tmp_path / f"out.{suffix}").read_bytes()
    with Image.open(tmp_path / f"out.{suffix}") as image:
        exif = image.getexif()
        assert exif[0x010F] == "PhoneMaker"
        assert exif.get_ifd(0x8825)[2] == (52.0, 31.0, 12.0)


def test_a_thumbnail_is_never_kept(tmp_path: Path, rgb: np.ndarray) -> None:
    # EXIF with a second directory, whose JPEG is the picture before it was edited.
    thumbnail = io.BytesIO()
    Image.fromarray(rgb).resize((32, 24)).save(thumbnail, "jpeg")
    jpeg = thumbnail.getvalue()
    entries = [
        (0x010F, 2, 4, b"Abc\0"),
        (0x0201, 4, 1, (56).to_bytes(4, "little")),
        (0x0202, 4, 1, len(jpeg).to_bytes(4, "little")),
    ]
    pack = [t.to_bytes(2, "little") + k.to_bytes(2, "little") + n.to_bytes(4, "little") + v for t, k, n, v in entries]
    tiff = b"II*\0\x08\0\0\0" + b"\1\0" + pack[0] + (26).to_bytes(4, "little")
    tiff += b"\2\0" + pack[1] + pack[2] + b"\0\0\0\0" + jpeg
    save(tmp_path / "in.jpg", rgb, exif=b"Exif\0\0" + tiff)
    assert jpeg in (tmp_path / "in.jpg").read_bytes()
    write_image(tmp_path / "out.jpg", edit(read_image(tmp_path / "in.jpg")), keep_metadata=True)
    data = (tmp_path / "out.jpg").read_bytes()
    assert b"Abc" in data
    assert data.count(b"\xff\xd8\xff") == 1


def test_formats_without_a_place_for_it_say_so(tmp_path: Path, rgb: np.ndarray) -> None:
    frame = read_image(phone_picture(tmp_path / "in.jpg", rgb))
    notes = write_image(tmp_path / "out.bmp", frame, keep_metadata=True)
    assert notes == (".bmp is written without EXIF", ".bmp is written without the colour profile")


# Bad input and output


def test_bad_pictures(tmp_path: Path, rgb: np.ndarray) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    files: dict[str, bytes | None] = {"missing.png": None, "empty.png": b"", "text.png": b"no picture " * 20}
    for suffix in ("png", "jpg", "webp", "tiff", "bmp"):
        whole = save(tmp_path / f"whole.{suffix}", noise).read_bytes()
        files[f"short.{suffix}"] = whole[: len(whole) // 2]
    for name, data in files.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(MediaError) as caught:
            read_image(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(MediaError):
        read_image(tmp_path)


@pytest.mark.parametrize("suffix", ["webp", "png", "tiff"])
def test_moving_pictures_are_refused(tmp_path: Path, rgb: np.ndarray, suffix: str) -> None:
    images = [Image.fromarray(rgb), Image.fromarray(255 - rgb)]
    images[0].save(tmp_path / f"in.{suffix}", save_all=True, append_images=images[1:])
    with pytest.raises(MediaError, match="several pictures"):
        read_image(tmp_path / f"in.{suffix}")


def test_where_pictures_cannot_be_written(tmp_path: Path, rgb: np.ndarray) -> None:
    source = save(tmp_path / "in.png", rgb)
    before = source.read_bytes()
    frame = edit(read_image(source))
    (tmp_path / "link.png").symlink_to(source)
    (tmp_path / "there.png").write_bytes(b"precious")
    for name, match in (("in.png", "the input"), ("link.png", "the input"), ("no/out.png", "no folder")):
        with pytest.raises(MediaError, match=match):
            write_image(tmp_path / name, frame, overwrite=True)
    with pytest.raises(MediaError, match="exists"):
        write_image(tmp_path / "there.png", frame)
    with pytest.raises(OptionError, match="suffix"):
        write_image(tmp_path / "out.mp4", frame)
    assert source.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.png", "link.png", "there.png"]
    write_image(tmp_path / "there.png", frame, overwrite=True)
    assert read_image(tmp_path / "there.png").size_hw == (48, 64)


def test_is_image(tmp_path: Path, rgb: np.ndarray) -> None:
    for suffix in ("png", "jpg", "webp", "tiff"):
        save(tmp_path / f"a.{suffix}", rgb).rename(tmp_path / f"{suffix}.mp4")
        assert is_image(tmp_path / f"{suffix}.mp4")
    assert is_image("a.JPG") and not is_image("a.mp4") and not is_image(tmp_path)
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x18ftypisom")
    assert not is_image(tmp_path / "film.mp4")

from pathlib import Path

import pytest

from anonymize.media.integrity import is_cut_short

KINDS = {"a.mp4": ("libx264", "aac"), "a.mov": ("libx264", "aac"), "a.mkv": ("libx264", "aac")}
KINDS |= {"a.webm": ("libvpx-vp9", "libopus"), "a.avi": ("mpeg4", "pcm_s16le")}


@pytest.mark.parametrize("name", KINDS)
def test_a_missing_end_is_noticed(make_film, name: str) -> None:
    codec, sound = KINDS[name]
    path: Path = make_film(name=name, codec=codec, sound=(sound,))
    assert not is_cut_short(path)
    data = path.read_bytes()
    for keep in (len(data) - 1, len(data) // 2):
        path.write_bytes(data[:keep])
        assert is_cut_short(path)


@pytest.mark.parametrize("data", [b"", b"text", b"RIFF", b"\x1a\x45\xdf\xa3", b"\0\0\0\x18ftyp", b"\0\0\0\0ftyp" * 3])
def test_what_cannot_be_known_is_not_cut_short(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(data)
    assert not is_cut_short(path)


def test_a_live_recording_has_no_known_end(tmp_path: Path) -> None:
    path = tmp_path / "live.webm"
    path.write_bytes(b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67" + b"\x01" + b"\xff" * 7 + b"rest")
    assert not is_cut_short(path)
    path.write_bytes(b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67" + b"\x85" + b"rest")
    assert is_cut_short(path)

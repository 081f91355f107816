import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import av
import cv2
import numpy as np
import pytest

HERE = str(Path(__file__).parent)


@pytest.fixture
def doubles(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The doubles as a module that other processes can import as well."""
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.setenv("PYTHONPATH", HERE)
    import doubles

    yield doubles
    sys.modules.pop("doubles")


@pytest.fixture
def folder(tmp_path: Path, make_film: Callable[..., Path]) -> Path:
    """Two films and a picture in nested folders, and a file that is neither."""
    root = tmp_path / "in"
    (root / "a" / "b").mkdir(parents=True)
    make_film(root / "one.mp4", frames=6, size_hw=(48, 64), sound=False)
    shutil.copy(root / "one.mp4", root / "a" / "b" / "two.mkv")
    picture = np.linspace(0, 255, 48 * 64 * 3).reshape(48, 64, 3).astype(np.uint8)
    cv2.imwrite(str(root / "a" / "three.png"), picture)
    (root / "a" / "notes.txt").write_text("neither")
    return root


@pytest.fixture
def film_with_keys() -> Callable[..., Path]:
    """Renders a film of moving stripes with a key frame every so many, and pictures stored in another order."""

    def make(path: Path, *, frames: int, keys: int, rate: int) -> Path:
        path.parent.mkdir(exist_ok=True)
        options = {"crf": "12", "g": str(keys), "keyint_min": str(keys), "sc_threshold": "0", "bf": "2"}
        with av.open(path, "w") as container:
            video = container.add_stream("libx264", rate=rate, options=options)
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            for number in range(frames):
                row = 128 + 90 * np.sin(np.linspace(0, 6, 64)[:, None] + number / 8 + np.arange(3))
                image = np.ascontiguousarray(np.broadcast_to(row, (48, 64, 3)).astype(np.uint8))
                container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(video.encode())
        return path

    return make


def tree(root: Path) -> dict[str, bytes]:
    """All files of a folder but those that keep its state, by name."""
    files = (path for path in root.rglob("*") if path.is_file() and ".anonymize" not in path.parts)
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.fixture(name="tree")
def _tree() -> Callable[[Path], dict[str, bytes]]:
    return tree

"""What is wrong is said before the networks' library and the decoders are loaded, which takes seconds."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "torchvision", "cv2", "av", "numpy", "scipy", "PIL", "onnxruntime", "detectron2", "jinja2"}
CODE = """
import sys
from anonymize.cli import main
sys.argv = ["anonymize", *sys.argv[1:]]
try:
    main()
finally:
    print("loaded:", *sys.modules, file=sys.stderr)
"""

CASES = {
    "--help": 0,
    "detect --help": 0,
    "film.mp4 -o out.mp4 --no-such-option": 2,
    "film.mp4 -o out.mp4 --start 2 --end 1": 2,
    "film.mp4 -o out.mp4 --mode solid --color pink": 2,
    "film.mp4 -o out.mp4 --codec divx": 2,
    "film.mp4 -o out.xyz": 2,
    "film.mp4 -o out.mp4 --tracks out.csv": 2,
    "missing.mp4 -o out.mp4": 1,
    "film.mp4 -o missing/out.mp4": 1,
    "film.mp4 -o film.mp4 --overwrite": 1,
    "film.mp4 -o out.mp4 --identity missing.png": 1,
    "film.mp4 -o out.mp4 --weights missing.safetensors": 1,
    "film.mp4 -o out.mp4 --detector missing.safetensors": 1,
    "film.mp4 -o out.mp4 --report missing/page.html": 1,
    "detect missing.mp4 -o tracks.json": 1,
    "render film.mp4 missing.json -o out.mp4": 1,
    "verify missing.mp4 film.mp4": 1,
}


@pytest.mark.parametrize(("arguments", "code"), CASES.items())
def test_answers_come_before_what_loads_slowly(arguments: str, code: int, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"not looked into yet")
    command = [sys.executable, "-c", CODE, *arguments.split()]
    result = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    told, _, loaded = result.stderr.rpartition("loaded:")
    assert result.returncode == code, result.stderr
    assert not {name.split(".")[0] for name in loaded.split()} & HEAVY
    if code:
        assert told.splitlines()[-1].startswith(("anonymize: ", "Error: ", "╰")), told
    else:
        assert "Usage: anonymize" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_what_cannot_be_refused_early_loads_the_decoders(tmp_path: Path) -> None:
    """So that the test above cannot pass by asking for names that are never loaded."""
    (tmp_path / "film.mp4").write_bytes(b"no film")
    command = [sys.executable, "-c", CODE, "film.mp4", "-o", "out.mp4"]
    result = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 1
    assert {"torch", "av", "cv2"} <= set(result.stderr.rpartition("loaded:")[2].split())

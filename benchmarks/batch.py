"""A folder of rendered films, killed at random moments: python benchmarks/batch.py FOLDER [--kills 10] [--workers 1].

Prints how long a run takes undisturbed, how far each killed run came, and whether the results are the same at the end.
"""

import argparse
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

from anonymize.lab.synthesis.film import write_rendered_film


def make_films(root: Path, count: int, frames: int, size_hw: tuple[int, int]) -> None:
    for number in range(count):
        path = root / f"{number % 3}" / f"{number % 5} x" / f"{number}.mp4"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_rendered_film(path, seed=number, n_frames=frames, size_hw=size_hw, n_people=1 + number % 4)


def command(source: Path, output: Path, workers: int) -> list[str]:
    return [sys.executable, "-m", "anonymize", str(source), "-o", str(output), "--workers", str(workers)]


def results(output: Path) -> dict[str, bytes]:
    return {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*.mp4")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--films", type=int, default=30)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    source, undisturbed, output = (arguments.folder / name for name in ("films", "undisturbed", "out"))
    make_films(source, arguments.films, arguments.frames, (192, 320))
    for folder in (undisturbed, output):
        shutil.rmtree(folder, ignore_errors=True)

    began = time.monotonic()
    process = subprocess.Popen(command(source, undisturbed, arguments.workers))
    while process.poll() is None and not (undisturbed / ".anonymize" / "manifest.jsonl").exists():
        time.sleep(0.05)
    start = time.monotonic() - began
    if process.wait():
        sys.exit("the undisturbed run failed")
    seconds = time.monotonic() - began
    expected = results(undisturbed)
    print(f"undisturbed: {len(expected)} results in {seconds:.1f} s", flush=True)

    chance = random.Random(arguments.seed)
    for number in range(arguments.kills):
        process = subprocess.Popen(command(source, output, arguments.workers), stdout=subprocess.DEVNULL)
        wait = chance.uniform(0, start + 2 * (seconds - start) / arguments.kills)
        time.sleep(wait)
        process.kill()
        process.wait()
        there = results(output)
        wrong = [name for name, data in there.items() if ".partial" not in name and data != expected[name]]
        print(f"kill {number + 1} after {wait:.1f} s: {len(there)} results, wrong: {wrong or 'none'}", flush=True)

    subprocess.run(command(source, output, arguments.workers), check=True)
    same = results(output) == expected
    print(f"after {arguments.kills} kills the results are {'those' if same else 'NOT THOSE'} of the undisturbed run")
    sys.exit(not same)


if __name__ == "__main__":
    main()

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from anonymize.core.errors import OptionError
from anonymize.lab.evaluate.cli import app
from anonymize.lab.evaluate.tracking import evaluate, read_mot, score


def walk(number: int, frames: range, left: float = 0) -> np.ndarray:
    """Somebody who walks to the right."""
    return np.array([[k, number, left + 3 * k, 10, 20, 50] for k in frames], np.float64)


def write(path: Path, rows: np.ndarray) -> Path:
    path.write_text("".join(",".join(f"{v:g}" for v in row) + ",1,-1,-1,-1\n" for row in rows))
    return path


TRUTH = np.concatenate([walk(1, range(1, 21)), walk(2, range(1, 21), 300)])


def test_the_truth_itself_is_perfect() -> None:
    scores = score(TRUTH, TRUTH)
    assert (scores.mota, scores.idf1, scores.switches, scores.misses) == (1, 1, 0, 0)
    assert (scores.people, scores.boxes) == (2, 40)


def test_nobody_found() -> None:
    scores = score(TRUTH, np.zeros((0, 6)))
    assert (scores.mota, scores.recall, scores.misses) == (0, 0, 40)


def test_a_new_id_halfway_is_a_switch() -> None:
    result = np.concatenate([walk(7, range(1, 11)), walk(8, range(11, 21)), walk(2, range(1, 21), 300)])
    scores = score(TRUTH, result)
    assert (scores.switches, scores.switches_per_person, scores.misses) == (1, 0.5, 0)
    assert scores.idf1 == pytest.approx(30 / 40)
    assert scores.mota == pytest.approx(39 / 40)


def test_a_gap_is_a_fragmentation() -> None:
    result = TRUTH[~((TRUTH[:, 1] == 1) & (TRUTH[:, 0] > 8) & (TRUTH[:, 0] < 12))]
    scores = score(TRUTH, result)
    assert (scores.fragmentations, scores.misses, scores.switches) == (1, 3, 0)


def test_a_box_beside_the_person_is_a_miss_and_a_false_alarm() -> None:
    result = TRUTH.copy()
    result[0, 2] += 15
    scores = score(TRUTH, result)
    assert (scores.misses, scores.false_positives) == (1, 1)


def test_files(tmp_path: Path) -> None:
    truth, result = write(tmp_path / "gt.txt", TRUTH), write(tmp_path / "out.txt", TRUTH[:30])
    assert evaluate(truth, result).misses == 10
    done = CliRunner().invoke(app, ["tracking", str(truth), str(result)])
    assert done.exit_code == 0
    assert "idf1             0.8571" in done.stdout


def test_truth_marked_as_not_counting(tmp_path: Path) -> None:
    path = tmp_path / "gt.txt"
    path.write_text("1,1,5,5,10,20,1,-1,-1,-1\n1,2,50,5,10,20,0,-1,-1,-1\n")
    assert len(read_mot(path, min_confidence=1e-9)) == 1


@pytest.mark.parametrize("text", ["a,b\n", "1,1,2\n", "\n"])
def test_files_of_another_kind(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gt.txt"
    path.write_text(text)
    with pytest.raises(OptionError, match=r"gt\.txt"):
        evaluate(path, write(tmp_path / "out.txt", TRUTH))


@pytest.mark.shared
def test_the_tracks_that_come_with_the_public_films(shared: Path) -> None:
    """Figures as motmetrics documents them for these files."""
    folder = shared / "data" / "mot_tud"
    assert evaluate(folder / "TUD-Campus/gt.txt", folder / "TUD-Campus/test.txt").idf1 == pytest.approx(
        0.5577, abs=1e-3
    )
    scores = evaluate(folder / "TUD-Stadtmitte/gt.txt", folder / "TUD-Stadtmitte/test.txt")
    assert scores.mota == pytest.approx(0.5640, abs=1e-3)

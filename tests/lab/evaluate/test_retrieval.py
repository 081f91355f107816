import numpy as np
import pytest

from anonymize.core.errors import OptionError
from anonymize.lab.evaluate.retrieval import search


def people(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def test_a_case_by_hand() -> None:
    """Ranked: other, match, other, match -> precision 1/2 and 2/4."""
    distances = np.array([[0.1, 0.2, 0.3, 0.4]], np.float32)
    found = search(distances, people(1), people(2, 1, 3, 1), people(1), people(2, 2, 2, 3))
    assert found.mean_average_precision == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert [found.rank(k) for k in (1, 2, 3, 20)] == [0, 1, 1, 1]


def test_pictures_of_the_same_camera_are_left_out() -> None:
    distances = np.array([[0.0, 0.2, 0.3]], np.float32)
    found = search(distances, people(1), people(1, 2, 1), people(1), people(1, 1, 2))
    assert found.mean_average_precision == pytest.approx(1 / 2)
    assert (found.rank(1), found.rank(2)) == (0, 1)


def test_others_by_the_same_camera_stay() -> None:
    distances = np.array([[0.1, 0.2]], np.float32)
    assert search(distances, people(1), people(2, 1), people(1), people(1, 2)).rank(1) == 0


def test_queries_without_a_match_do_not_count() -> None:
    distances = np.array([[0.1, 0.2], [0.2, 0.1], [0.2, 0.1]], np.float32)
    found = search(distances, people(1, 7, 2), people(1, 2), people(1, 1, 1), people(2, 1))
    assert (found.queries, found.mean_average_precision, found.rank(1)) == (1, 1, 1)


def test_no_match_at_all_is_an_error() -> None:
    with pytest.raises(OptionError, match="another camera"):
        search(np.zeros((1, 1), np.float32), people(1), people(1), people(1), people(1))


def test_what_nothing_can_be_said_of_comes_last() -> None:
    distances = np.array([[np.nan, 0.9]], np.float32)
    assert search(distances, people(1), people(2, 1), people(1), people(2, 2)).rank(1) == 1


def literal_search(
    distances: np.ndarray, query: list[tuple[int, int]], gallery: list[tuple[int, int]], depth: int
) -> tuple[float, list[float]]:
    """Market-1501's rules word by word, as slow as can be."""
    average_precisions: list[float] = []
    hits = [0.0] * depth
    for row, (person, camera) in zip(distances.tolist(), query, strict=True):
        ranking = []
        for distance, (other, taken_by) in sorted(zip(row, gallery, strict=True)):
            del distance
            if other == -1 or (other == person and taken_by == camera):
                continue
            ranking.append(other == person)
        if True not in ranking:
            continue
        precisions = []
        for place in range(len(ranking)):
            if ranking[place]:
                precisions.append(ranking[: place + 1].count(True) / (place + 1))
        average_precisions.append(sum(precisions) / len(precisions))
        for k in range(depth):
            hits[k] += True in ranking[: k + 1]
    return sum(average_precisions) / len(average_precisions), [hit / len(average_precisions) for hit in hits]


@pytest.mark.parametrize("seed", range(4))
def test_the_figures_are_those_of_the_rules_word_by_word(seed: int) -> None:
    rng = np.random.default_rng(seed)
    distances = rng.random((40, 90)).astype(np.float32)
    query = [(int(p), int(c)) for p, c in zip(rng.integers(1, 15, 40), rng.integers(1, 4, 40), strict=True)]
    gallery = [(int(p), int(c)) for p, c in zip(rng.integers(-1, 12, 90), rng.integers(1, 4, 90), strict=True)]
    kept = np.array([person != -1 for person, _ in gallery])
    (query_people, query_cameras), (gallery_people, gallery_cameras) = (np.array(x).T for x in (query, gallery))
    found = search(distances[:, kept], query_people, gallery_people[kept], query_cameras, gallery_cameras[kept])
    expected, cmc = literal_search(distances, query, gallery, 20)
    assert found.mean_average_precision == pytest.approx(expected)
    assert found.queries < 40, "people 12 to 14 are not in the gallery"
    np.testing.assert_allclose([found.rank(k + 1) for k in range(20)], cmc, rtol=1e-6)

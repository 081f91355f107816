import numpy as np
import pytest

from anonymize.lab.train.bank import MIRRORED_PARTS, Cutout, Photo, cut_out, held_out, paint_over
from anonymize.lab.train.composites import Bank, Boxed, Sample, paste_person, random_heights
from anonymize.lab.train.loader import collate, people_of
from anonymize.lab.train.teachers import IGNORE, combine

SIZE = (64, 96)
MAGENTA = np.array([255, 0, 255], np.uint8)


def photo(seed: int = 0) -> Photo:
    rng = np.random.default_rng(seed)
    image = rng.integers(60, 120, (90, 60, 3), dtype=np.uint8)
    labels = np.zeros((90, 60), np.uint8)
    labels[10:80, 20:40] = 13
    image[labels > 0] = MAGENTA
    return Photo(image, labels, trusted=True)


def bank() -> Bank:
    photos = [photo(seed) for seed in range(3)]
    landmarks = np.full((70, 20), 3, np.int16)
    rendered = Cutout(np.full((70, 20, 3), 200, np.uint8), np.full((70, 20), 255, np.uint8), landmarks=landmarks)
    streets = [paint_over(p) for p in photos]
    return Bank(photos, [cut_out(p) for p in photos], [rendered], streets, [], [], np.arange(8, dtype=np.int16)[::-1])


def test_samples_are_whole_and_reproducible() -> None:
    material = bank()
    for seed in range(20):
        first = material.sample(np.random.default_rng(seed), SIZE)
        second = material.sample(np.random.default_rng(seed), SIZE)
        np.testing.assert_array_equal(first.image, second.image)
        assert first.image.shape == (*SIZE, 3)
        assert first.image.dtype == np.uint8
        for values in (first.instances, first.ignore, first.landmarks, first.parts):
            assert values.shape == SIZE
        nobody = first.instances == 0
        assert (first.landmarks[nobody] == -1).all(), "surface truth only where somebody is visible"
        assert (first.parts[nobody] == 0).all()


def test_truth_lies_where_the_person_was_pasted() -> None:
    cutout = Cutout(
        np.full((40, 20, 3), MAGENTA), np.full((40, 20), 255, np.uint8), parts=np.full((40, 20), 5, np.uint8)
    )
    for seed in range(10):
        sample = Sample.of(np.zeros((*SIZE, 3), np.uint8))
        paste_person(np.random.default_rng(seed), sample, cutout, 40.0, 1)
        bright = sample.image[..., 0] > 128
        assert np.mean(bright != (sample.instances == 1)) < 0.01
        np.testing.assert_array_equal(sample.parts > 0, sample.instances == 1)


def test_the_nearer_person_hides_the_farther() -> None:
    cutout = Cutout(np.full((40, 40, 3), 200, np.uint8), np.full((40, 40), 255, np.uint8))
    sample = Sample.of(np.zeros((*SIZE, 3), np.uint8))
    for number in (1, 2):
        paste_person(np.random.default_rng(0), sample, cutout, 40.0, number)
    assert set(np.unique(sample.instances)) == {0, 2}


def test_painting_over_removes_the_person() -> None:
    street = paint_over(photo())
    assert np.abs(street.astype(int) - MAGENTA).max(axis=2).min() > 40


def test_held_out_is_a_tenth_and_never_changes() -> None:
    share = np.mean([held_out(f"{i:04d}") for i in range(4000)])
    assert 0.08 < share < 0.12
    assert [n for n in range(1, 30) if held_out(f"{n:04d}")] == [n for n in range(1, 30) if held_out(f"{n:04d}")]


def test_mirroring_parts_twice_changes_nothing() -> None:
    np.testing.assert_array_equal(MIRRORED_PARTS[MIRRORED_PARTS], np.arange(256))
    assert MIRRORED_PARTS[IGNORE] == IGNORE


@pytest.mark.parametrize("seed", range(3))
def test_heights_stay_in_range(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(50):
        heights = random_heights(rng, 288)
        assert len(heights) <= 12
        assert all(12 <= h <= 2.4 * 288 for h in heights)


def empty() -> Sample:
    return Sample.of(np.zeros((*SIZE, 3), np.uint8))


def test_boxes_hold_their_people() -> None:
    sample = empty()
    sample.instances[10:30, 5:25] = 1
    sample.instances[40:42, 40:42] = 2  # too few pixels to be learnt
    people = people_of(sample)
    np.testing.assert_array_equal(people.boxes, [[5, 10, 25, 30]])
    np.testing.assert_array_equal(people.numbers, [1])
    assert sample.ignore[40:42, 40:42].all()
    assert sample.ignore.sum() == 4
    assert people_of(empty()).boxes.shape == (0, 4)


def test_a_drawn_box_is_kept_whatever_its_mask() -> None:
    sample = empty()
    sample.instances[10:30, 5:25] = 1
    sample.people = [Boxed(1, (4, 9, 26, 32), 1.0, masked=True), Boxed(2, (50, 10, 70, 50), 0.6, masked=False)]
    people = people_of(sample)
    np.testing.assert_array_equal(people.boxes, [[4, 9, 26, 32], [50, 10, 70, 50]])
    np.testing.assert_array_equal(people.numbers, [1, 0])
    np.testing.assert_allclose(people.weights, [1.0, 0.6])


def test_a_boxed_person_behind_a_pasted_one_is_left_open() -> None:
    sample = empty()
    sample.people = [Boxed(1, (10, 10, 30, 50), 1.0, masked=False)]
    sample.instances[10:40, 8:40] = 2
    people = people_of(sample)
    np.testing.assert_array_equal(people.numbers, [2])
    assert sample.ignore[41:50, 10:30].all()


def test_collate_tells_where_nothing_is_known() -> None:
    sample = empty()
    sample.ignore[:32, :48] = True
    boxed = empty()
    boxed.people = [Boxed(1, (48, 0, 96, 32), 1.0, masked=False)]
    batch = collate([sample, boxed])
    assert batch.ignore[0, 0, :4, :6].min() == 1
    assert batch.ignore[0, 0].sum() == 24
    assert batch.ignore[1].sum() == 0, "the box is known, so nothing is missing there"
    assert batch.known[0, 0, 0, 0] == 0
    assert batch.known[0, 0, -1, -1] == 1
    assert batch.known[1, 0, 2, 20] == 0, "whose pixels they are is not known"


def test_passers_by_are_left_out_and_truth_wins() -> None:
    truth = np.zeros((60, 60), np.uint8)
    truth[20:40, 5:15] = 7
    bodypix = np.zeros((60, 60), np.float32)
    bodypix[20:40, 5:15] = 0.9
    bodypix[20:40, 40:50] = 0.9  # somebody nobody labelled
    labels = combine(bodypix, np.full((60, 60), 12, np.uint8), (bodypix > 0.5).astype(np.uint8), truth)
    assert (labels[20:40, 5:15] == 12).all()
    assert (labels[20:40, 40:50] == IGNORE).all()
    assert labels[50, 30] == 0

import numpy as np

from anonymize.compose import CoverComposer, OverlayComposer
from anonymize.compose.overlay import identity_color
from anonymize.core.types import Detections, Frame, RegionMask, Tracks

SIZE_HW = (120, 160)


def one_person() -> Tracks:
    mask = np.zeros(SIZE_HW, np.bool_)
    mask[30:90, 60:100] = True
    region = RegionMask.from_full(mask)
    boxes = np.array([region.box_xyxy], np.float32)
    detections = Detections(SIZE_HW, boxes, np.array([0.9], np.float32), (region,), np.zeros(1, np.bool_))
    return Tracks(detections, np.array([7]), np.array([False]))


def test_nobody_leaves_the_very_frame() -> None:
    frame = Frame(np.zeros((*SIZE_HW, 3), np.uint8))
    none = Tracks(Detections.empty(SIZE_HW), np.zeros(0, np.int64), np.zeros(0, np.bool_))
    assert OverlayComposer().compose(frame, none, ()) is frame


def test_marks_are_drawn_marked_as_edits_and_reveal_nothing() -> None:
    original = np.random.default_rng(0).integers(0, 256, (*SIZE_HW, 3), np.uint8)
    tracks = one_person()
    mask = tracks.detections.masks[0].to_full(SIZE_HW)
    covered = CoverComposer("solid", color="000000").compose(Frame(original), tracks, tracks.detections.masks)
    marked = OverlayComposer().compose(covered, tracks, tracks.detections.masks)
    drawn = (marked.image != covered.image).any(axis=2)
    assert (marked.image[89, 60:100] == identity_color(7)).all()
    assert marked.edited is not None
    np.testing.assert_array_equal(marked.edited, mask | drawn)
    assert (marked.image[mask] == original[mask]).all(axis=1).sum() == 0


def test_ids_differ_in_colour() -> None:
    assert len({identity_color(identity) for identity in range(1, 40)}) == 39

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from anonymize.core.errors import MediaError, OptionError
from anonymize.core.types import BoolArray, Detections, UInt8Array
from anonymize.verify import MismatchError, Totals, sightings, verify
from anonymize.verify.output import closing_line, table_row

from .conftest import Truth, Walk, noise

Save = Callable[..., Path]


def blurred(frame: UInt8Array, mask: BoolArray) -> UInt8Array:
    return cv2.GaussianBlur(frame, (0, 0), 9)


def boxes(frame: UInt8Array, mask: BoolArray) -> UInt8Array:
    height, width = mask.shape
    small = cv2.resize(frame, (width // 16, height // 16), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)


def solid(frame: UInt8Array, mask: BoolArray) -> UInt8Array:
    return np.full_like(frame, 40)


def another_person(frame: UInt8Array, mask: BoolArray) -> UInt8Array:
    return noise(mask.shape, 2.5, 40, 77)


def untouched(walk: Walk) -> list[UInt8Array]:
    return walk.frames


def other_colours(walk: Walk) -> list[UInt8Array]:
    return [np.clip(f * np.array([0.85, 0.95, 1.05]) + [10, 0, -5], 0, 255).astype(np.uint8) for f in walk.frames]


def moved(walk: Walk) -> list[UInt8Array]:
    return [np.roll(frame, (1, -1), axis=(0, 1)) for frame in walk.frames]


def moved_and_coloured(walk: Walk) -> list[UInt8Array]:
    return [np.roll(frame, 1, axis=1) for frame in other_colours(walk)]


def only_the_face_left(walk: Walk) -> list[UInt8Array]:
    covered = walk.changed(blurred)
    faces = zip(covered, walk.frames, walk.heads, strict=True)
    return [np.where(head[..., None], frame, cover) for cover, frame, head in faces]


def everything_but_the_face_left(walk: Walk) -> list[UInt8Array]:
    """What a program does that only looks for faces."""
    frames = zip(walk.frames, walk.heads, strict=True)
    return [np.where(head[..., None], blurred(frame, head), frame) for frame, head in frames]


def check(
    walk: Walk, truth: Truth, save: Save, output: list[UInt8Array], crf: int, in_part: bool = False
) -> list[bool]:
    original = save(walk.frames, "original.mp4")
    return [check.visible for check in verify(original, save(output, "output.mp4", crf), truth, in_part=in_part)]


@pytest.mark.parametrize("crf", [14, 28])
@pytest.mark.parametrize("change", [untouched, other_colours, moved, moved_and_coloured])
def test_who_was_left_as_they_were_is_seen(
    walk: Walk, truth: Truth, save: Save, change: Callable[[Walk], list[UInt8Array]], crf: int
) -> None:
    assert check(walk, truth, save, change(walk), crf) == [True] * len(walk.frames)


@pytest.mark.parametrize("crf", [14, 28])
@pytest.mark.parametrize("change", [only_the_face_left, everything_but_the_face_left])
def test_who_was_left_in_part_is_told(
    walk: Walk, truth: Truth, save: Save, change: Callable[[Walk], list[UInt8Array]], crf: int
) -> None:
    assert check(walk, truth, save, change(walk), crf, in_part=True) == [True] * len(walk.frames)
    truth.seen = 0
    for each in verify(save(walk.frames, "original.mp4"), save(change(walk), "output.mp4", crf), truth):
        assert [(person.visible, person.partly) for person in each.people] in (
            [(False, True)],
            [(change is everything_but_the_face_left, True)],
        )


@pytest.mark.parametrize("in_part", [False, True])
@pytest.mark.parametrize("crf", [14, 28])
@pytest.mark.parametrize("change", [blurred, boxes, solid, another_person])
def test_who_was_covered_is_not(
    walk: Walk,
    truth: Truth,
    save: Save,
    change: Callable[[UInt8Array, BoolArray], UInt8Array],
    crf: int,
    in_part: bool,
) -> None:
    assert check(walk, truth, save, walk.changed(change), crf, in_part) == [False] * len(walk.frames)


def test_frames_left_out_are_named_by_their_times(walk: Walk, truth: Truth, save: Save) -> None:
    output = walk.changed(blurred)
    for number in (3, 7, 8):
        output[number] = walk.frames[number]
    checks = list(verify(save(walk.frames, "original.mp4"), save(output, "output.mp4", 23), truth))
    assert [c.seconds for c in checks if c.visible] == pytest.approx([0.3, 0.7, 0.8])
    assert [c.index for c in checks if c.visible] == [3, 7, 8]


def test_flat_people_are_seen_by_their_colour(walk: Walk, truth: Truth, save: Save) -> None:
    frames = [np.full_like(frame, 90) for frame in walk.frames]
    original = save(frames, "original.mp4")
    assert all(c.visible for c in verify(original, save(frames, "same.mp4"), truth))
    truth.seen = 0
    painted = [np.where(mask[..., None], np.uint8(140), frame) for frame, mask in zip(frames, walk.masks, strict=True)]
    assert not any(c.visible for c in verify(original, save(painted, "painted.mp4"), truth))


def test_parts_tell_what_is_left(walk: Walk, truth: Truth, save: Save) -> None:
    output = everything_but_the_face_left(walk)
    first = next(verify(save(walk.frames, "original.mp4"), save(output, "output.mp4"), truth))
    [person] = first.people
    body, head = person.parts["middle centre"], person.parts["top centre"]
    assert body.similarity is not None
    assert head.similarity is not None
    assert body.similarity > 0.9 > head.similarity
    assert body.appearance_distance < head.appearance_distance


def test_frames_without_people_are_empty(walk: Walk, save: Save) -> None:
    nobody = Walk(walk.frames, [np.zeros_like(m) for m in walk.masks], walk.heads)
    original = save(walk.frames, "original.mp4")
    checks = list(verify(original, save(walk.frames, "output.mp4"), Truth(nobody)))
    assert len(checks) == len(walk.frames)
    assert not any(c.people or c.visible for c in checks)


def test_the_detector_sees_batches_of_bounded_size(walk: Walk, truth: Truth, save: Save) -> None:
    checks = verify(save(walk.frames, "original.mp4"), save(walk.frames, "output.mp4"), truth)
    next(checks)
    assert truth.batches == [4]
    list(checks)
    assert truth.batches == [4, 4, 2]


def test_a_cut_is_compared_with_its_part(walk: Walk, truth: Truth, save: Save) -> None:
    original, output = save(walk.frames, "original.mp4"), save(walk.frames[3:7], "output.mp4")
    truth.seen = 3
    checks = list(verify(original, output, truth, start=0.3, end=0.7))
    assert [c.visible for c in checks] == [True] * 4
    assert [c.seconds for c in checks] == pytest.approx([0, 0.1, 0.2, 0.3])


def test_containers_that_round_times_are_no_matter(walk: Walk, truth: Truth, save: Save) -> None:
    original, output = save(walk.frames, "original.mp4", rate=30), save(walk.frames, "output.mkv", rate=30)
    assert all(c.visible for c in verify(original, output, truth))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_pictures(walk: Walk, truth: Truth, tmp_path: Path, suffix: str) -> None:
    original, output = tmp_path / f"original{suffix}", tmp_path / f"output{suffix}"
    cv2.imwrite(str(original), walk.frames[0])
    cv2.imwrite(str(output), walk.frames[0])
    [seen] = verify(original, output, truth)
    assert seen.visible
    cv2.imwrite(str(output), walk.changed(blurred)[0])
    truth.seen = 0
    [covered] = verify(original, output, truth)
    assert not covered.visible


def test_films_that_do_not_belong_together(walk: Walk, truth: Truth, save: Save, tmp_path: Path) -> None:
    original = save(walk.frames, "original.mp4")
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), walk.frames[0])

    def fails_with(output: Path, message: str) -> None:
        truth.seen = 0
        with pytest.raises(MismatchError, match=message):
            list(verify(original, output, truth))

    fails_with(save([f[:160, :240] for f in walk.frames], "small.mp4"), r"is 256 x 192 but .*small.mp4 is 240 x 160")
    fails_with(save(walk.frames[:9], "short.mp4"), r"short.mp4 ends after 9 frames, .*original.mp4 goes on")
    fails_with(
        save([*walk.frames, walk.frames[0]], "long.mp4"), r"original.mp4 ends after 10 frames, .*long.mp4 goes on"
    )
    fails_with(save(walk.frames, "fast.mp4", rate=25), r"number 2 is at 0.100 s in .* but at 0.040 s in")
    fails_with(picture, r"is a film but .*picture.png is a picture")
    fails_with(original, "are the same file")
    with pytest.raises(MediaError, match=r"nowhere\.mp4: No such file"):
        list(verify(original, tmp_path / "nowhere.mp4", truth))


def test_pictures_have_no_start(walk: Walk, truth: Truth, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), walk.frames[0])
    with pytest.raises(OptionError, match="no --start"):
        list(verify(tmp_path / "a.png", tmp_path / "b.png", truth, start=1))


@dataclass
class Plates:
    """A detector that finds no person, and one number plate in each frame."""

    box: tuple[int, int, int, int]
    surface: str | None = None

    def detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        found = np.array([[*self.box, 0.9], [0, 0, 20, 10, 0.01]], np.float32)
        return [replace(Detections.empty((image.shape[0], image.shape[1])), plates=found) for image in images]


def lettered() -> UInt8Array:
    image = np.full((96, 160, 3), 110, np.uint8)
    cv2.rectangle(image, (40, 40), (120, 64), (235, 235, 235), cv2.FILLED)
    cv2.putText(image, "AB 123", (44, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.65, (10, 10, 10), 2, cv2.LINE_AA)
    return image


@pytest.mark.parametrize(("change", "crf", "visible"), [("none", 30, True), ("soft", 20, True), ("cover", 20, False)])
def test_plates_that_can_still_be_read_are_told(save: Save, change: str, crf: int, visible: bool) -> None:
    original, box = lettered(), (40, 40, 121, 65)
    output = original.copy()
    if change == "soft":  # can be read
        output = cv2.GaussianBlur(output, (0, 0), 1.2)
    if change == "cover":
        output[36:70, 36:126] = original[40:65, 40:121].mean((0, 1))
    files = save([original] * 3, "a.mp4"), save([output] * 3, "b.mp4", crf)
    totals = Totals()
    checks = list(totals.count(verify(*files, Plates(box))))
    assert [[(each.plate, each.visible) for each in check.people] for check in checks] == [[(True, visible)]] * 3
    assert (totals.people, totals.plates, totals.plates_visible) == (0, 3, 3 * visible)
    assert ("a number plate is visible" in closing_line(totals)) == visible
    [row] = sightings(checks)
    assert "plate" in table_row(row)

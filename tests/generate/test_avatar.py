"""Avatars in the place of people whose truth is known."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from anonymize.bodies.articulation import exponential
from anonymize.bodies.body import JOINTS
from anonymize.bodies.fit import SHAPES, BodyPose, landmarks, pose_landmarks, project, usual_poses
from anonymize.bodies.look import LATENT, Look
from anonymize.bodies.renderer import outline, rasterized, stand
from anonymize.compose import ChosenGenerator, CoverComposer, GeneratedComposer, covers_of
from anonymize.core.errors import OptionError
from anonymize.core.types import Detections, Frame, PersonRequest, RegionMask, Tracks
from anonymize.generate import avatar
from anonymize.generate.avatar import AvatarGenerator

SIZE = (240, 320)
TABLE = torch.from_numpy(np.random.default_rng(0).standard_normal((1024, 16)).astype(np.float32))


def generator(**options: object) -> AvatarGenerator:
    return AvatarGenerator(TABLE, truncation=0.7, **options)  # type: ignore[arg-type]


def body(column: float, yaw: float = 0.0) -> BodyPose:
    turns = torch.zeros(1, len(JOINTS), 3)
    turns[:, landmarks().free] = 0.6 * usual_poses()[0]
    root = exponential(torch.tensor([[0.0, 0.0, yaw]]))
    return BodyPose(root, turns, torch.zeros(1, SHAPES), torch.tensor([[float(np.log(90.0)), column, 120.0]]))


def found(poses: Sequence[BodyPose], masks: Sequence[RegionMask] | None = None) -> Detections:
    """What a perfect detector says of bodies, or that of other masks."""
    look = Look(np.zeros(LATENT))
    table = functional.normalize(TABLE, dim=1)
    regions, boxes, embeddings = [], [], []
    for k, pose in enumerate(poses):
        standing = stand(look, pose)
        box = outline(standing, SIZE)
        mask = rasterized(look, standing, box).alpha.numpy() >= 0.5
        regions.append(RegionMask(box[0], box[1], mask) if masks is None else masks[k])
        boxes.append(box)
        posed = pose_landmarks(pose)
        points = project(posed.places, pose.camera)[0]
        front = (posed.normals[0, :, 1] < 0).nonzero()[:, 0]
        steps = (torch.arange(56) + 0.5) / 56
        cells = torch.stack(
            torch.meshgrid(box[0] + steps * (box[2] - box[0]), box[1] + steps * (box[3] - box[1]), indexing="xy"), -1
        )
        nearest = front[torch.cdist(cells.reshape(-1, 2), points[front]).argmin(1)]
        embeddings.append(table[nearest].T.reshape(16, 56, 56))
    return Detections(
        SIZE,
        np.array(boxes, np.float32),
        np.full(len(poses), 0.9, np.float32),
        tuple(regions),
        np.ones(len(poses), np.bool_),
        torch.stack(embeddings),
        torch.zeros(len(poses), 56, 56),
    )


def tracks_of(detections: Detections, ids: Sequence[int] | None = None) -> Tracks:
    numbers = np.arange(1, len(detections) + 1) if ids is None else np.array(ids, np.int64)
    return Tracks(detections, numbers, np.zeros(len(detections), np.bool_))


def requests_of(maker: AvatarGenerator, tracks: Tracks, image: np.ndarray | None = None) -> list[PersonRequest]:
    covers = covers_of(tracks)
    accepted = maker.accept(tracks, covers)
    boxes = maker.place(accepted, covers)
    hidden = np.zeros(SIZE, np.bool_)
    shown = np.full((*SIZE, 3), 120, np.uint8) if image is None else image
    return [
        PersonRequest(shown, hidden, boxes[row], accepted, row, covers[row])
        for row in np.flatnonzero(accepted.detections.has_cse)
    ]


def test_an_avatar_stands_where_the_person_stood() -> None:
    tracks = tracks_of(found([body(100), body(220, 2.5)]))
    maker = generator()
    asked = requests_of(maker, tracks)
    assert len(asked) == 2
    for request, made in zip(asked, maker.generate(asked), strict=True):
        left, top, right, bottom = request.box_xyxy.tolist()
        assert made.alpha is not None and made.alpha.shape == (bottom - top, right - left)
        whole = np.zeros(SIZE, np.bool_)
        whole[top:bottom, left:right] = made.alpha > 200
        mask = tracks.detections.masks[request.row].to_full(SIZE)
        assert (whole & mask).sum() / (whole | mask).sum() > 0.6


def test_an_avatar_reaches_little_beyond_the_cover() -> None:
    maker = generator()
    [request] = requests_of(maker, tracks_of(found([body(100)])))
    [made] = maker.generate([request])
    far = avatar.allowed(request.cover, tuple(request.box_xyxy.tolist()), 12) == 0
    assert made.alpha is not None and far.any() and made.alpha[far].max() < 30


def test_who_disagrees_with_the_mask_is_not_made() -> None:
    wide = RegionMask(40, 30, np.ones((180, 240), np.bool_))
    tracks = tracks_of(found([body(100)], [wide]))
    accepted = generator().accept(tracks, covers_of(tracks))
    assert not accepted.detections.has_cse.any()


def test_what_nobody_knows_who_it_is_is_not_made() -> None:
    tracks = tracks_of(found([body(100), body(220)]), [0, 4])
    assert generator().accept(tracks, covers_of(tracks)).detections.has_cse.tolist() == [False, True]


def test_who_is_not_made_is_covered() -> None:
    wide = RegionMask(40, 30, np.ones((180, 240), np.bool_))
    tracks = tracks_of(found([body(100)], [wide]))
    image = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    made = GeneratedComposer(generator(), CoverComposer("solid")).compose(Frame(image), tracks, covers_of(tracks))
    assert (made.image[30:210, 40:280] == 0).all()


def test_same_track_and_seed_same_look_in_every_frame() -> None:
    first, again, other = generator(seed=1), generator(seed=1), generator(seed=2)
    tracks = tracks_of(found([body(100)]))
    pictures = [maker.generate(requests_of(maker, tracks))[0].image for maker in (first, again, other)]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    rows, columns = (min(a, b) for a, b in zip(pictures[0].shape[:2], pictures[2].shape[:2], strict=True))
    assert np.abs(pictures[0][:rows, :columns].astype(int) - pictures[2][:rows, :columns]).mean() > 3
    later = tracks_of(found([body(130)]))
    moved = first.generate(requests_of(first, later))[0]
    assert first._look(1) is first._looks[1]
    assert np.abs(np.median(moved.image, (0, 1)) - np.median(pictures[0], (0, 1))).max() < 12


def test_truncation_zero_gives_the_mean_person_and_identities_are_taken_as_they_are() -> None:
    alike = AvatarGenerator(TABLE, truncation=0.0)
    np.testing.assert_array_equal(alike._look(1).z, np.zeros(LATENT))
    z = torch.ones(LATENT)
    asked = AvatarGenerator(TABLE, truncation=0.3, identities=[z])
    np.testing.assert_array_equal(asked._look(1).z, z.double().numpy())
    several = AvatarGenerator(TABLE, truncation=0.0, multi_modal=True)
    assert len({several._look(k).z.tobytes() for k in range(30)}) > 2


def test_who_stands_still_does_not_jitter() -> None:
    maker = generator()
    rng = torch.Generator().manual_seed(0)
    still = found([body(150)])
    places = []
    for _ in range(14):
        assert still.embeddings is not None
        noisy = replace(still, embeddings=still.embeddings + 0.15 * torch.randn(still.embeddings.shape, generator=rng))
        tracks = tracks_of(noisy)
        maker.accept(tracks, covers_of(tracks))
        steady = maker._fitter.poses(tracks)[0]
        places.append(project(pose_landmarks(steady).joint, steady.camera)[0])
    late = torch.stack(places[6:])
    assert float((late - late.mean(0)).norm(dim=2).mean()) < 0.5


def test_no_pixel_of_the_original_is_looked_at() -> None:
    """What is hidden may have any colours: the avatar is the same."""
    tracks = tracks_of(found([body(100)]))
    covers = covers_of(tracks)
    pictures = []
    for value in (0, 255):
        maker = generator()
        accepted = maker.accept(tracks, covers)
        boxes = maker.place(accepted, covers)
        image, hidden = np.full((*SIZE, 3), 120, np.uint8), covers[0].to_full(SIZE)
        image[hidden] = value
        pictures += maker.generate([PersonRequest(image, hidden, boxes[0], accepted, 0, covers[0])])
    np.testing.assert_array_equal(pictures[0].image, pictures[1].image)


def test_another_surface_is_refused() -> None:
    tracks = tracks_of(replace(found([body(100)]), surface="smpl_27554"))
    with pytest.raises(OptionError, match="avatars need the surface"):
        generator().accept(tracks, covers_of(tracks))


def test_tracks_are_made_by_whom_they_were_given_to() -> None:
    one, other = generator(seed=1), generator(seed=2)
    both = ChosenGenerator({1: one, 2: other})
    tracks = tracks_of(found([body(60), body(160), body(260)]))
    covers = covers_of(tracks)
    accepted = both.accept(tracks, covers)
    assert accepted.detections.has_cse.tolist() == [True, True, False]
    boxes = both.place(accepted, covers)
    assert (boxes[2] == 0).all() and (boxes[:2, 2] > boxes[:2, 0]).all()
    image, hidden = np.full((*SIZE, 3), 120, np.uint8), np.zeros(SIZE, np.bool_)
    asked = [PersonRequest(image, hidden, boxes[row], accepted, row, covers[row]) for row in (0, 1)]
    assert len(both.generate(asked)) == 2 and list(one._looks) == [1] and list(other._looks) == [2]


def test_the_look_of_a_picture_s_person_is_read() -> None:
    detections = found([body(100)])
    image = np.full((*SIZE, 3), 150, np.uint8)
    z, row = generator().read_identity(image, detections)
    mask = detections.masks[0]
    image[mask.slices][mask.mask] = (200, 30, 30)
    red, _ = generator().read_identity(image, detections)
    assert row == 0 and z.shape == (LATENT,)
    from anonymize.bodies.colours import cloth_colour

    r, g, b = cloth_colour(Look.of(red).numbers("upper_colour"))
    assert r > 3 * g and r > 3 * b
    with pytest.raises(OptionError, match="no person whose body surface"):
        generator().read_identity(image, replace(detections, has_cse=np.zeros(1, np.bool_)))


def test_a_batch_of_any_length_is_drawn_and_then_forgotten() -> None:
    maker = generator()
    empty = tracks_of(found([body(100)]), [0])
    first = tracks_of(found([body(100)]))
    asked = requests_of(maker, first)
    for _ in range(80):
        tracks = replace(empty, ids=empty.ids.copy())
        maker.accept(tracks, covers_of(tracks))
    assert len(maker.generate(asked)) == 1 and not maker._accepted
    with pytest.raises(ValueError, match="not accepted"):
        maker.place(first, covers_of(first))


def test_a_frame_is_forgotten_though_its_maker_is_asked_for_no_person() -> None:
    one, other = generator(seed=1), generator(seed=2)
    both = ChosenGenerator({1: one, 9: other})
    tracks = tracks_of(found([body(100)]))
    both.accept(tracks, covers_of(tracks))
    assert both.generate([]) == [] and not one._accepted and not other._accepted


def test_frames_are_drawn_alike_in_batches_of_any_size() -> None:
    """Grain and light go by the frame's number."""
    image = np.random.default_rng(0).integers(90, 150, (*SIZE, 3)).astype(np.uint8)
    people = found([body(100)])
    single, batch = generator(seed=3), generator(seed=3)
    each = [single.generate(requests_of(single, tracks_of(people), image))[0] for _ in range(7)]
    asked = [request for _ in range(7) for request in requests_of(batch, tracks_of(people), image)]
    together = batch.generate(asked)
    for one, other in zip(each, together, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
    assert len({made.image.tobytes() for made in together}) == 7


def test_to_whom_no_body_can_be_fitted_is_covered_and_forgotten() -> None:
    maker = generator()
    people = found([body(100), body(220)])
    for broken in (False, True):
        assert people.embeddings is not None
        embeddings = people.embeddings.clone()
        if broken:
            embeddings[0] = torch.inf
        tracks = tracks_of(replace(people, embeddings=embeddings))
        accepted = maker.accept(tracks, covers_of(tracks))
        assert accepted.detections.has_cse.tolist() == [not broken, True]
    assert list(maker._fitter._last) == [2]


def test_who_has_no_area_is_covered() -> None:
    people = found([body(100), body(220)])
    boxes = people.boxes_xyxy.copy()
    boxes[0] = 12
    masks = (RegionMask(12, 12, np.ones((20, 10), np.bool_)), people.masks[1])
    tracks = tracks_of(replace(people, boxes_xyxy=boxes, masks=masks))
    assert generator().accept(tracks, covers_of(tracks)).detections.has_cse.tolist() == [False, True]

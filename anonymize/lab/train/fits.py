"""Dense surface truth on real pictures: bodies fitted to BlazePose's landmarks and masks, drawn and checked.

Reads files of the layout of `people_boxes/blazepose.npz` (`anonymize train label` writes it), writes one file that
`load_fits` reads. BlazePose takes backs for fronts and one leg for the other at times, but rarely in the mirrored
picture as well: what the two say apart is not believed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from anonymize.bodies.articulation import Points, to_camera
from anonymize.bodies.body import JOINT, joint_transforms, load_body
from anonymize.bodies.poses import ANGLE_STEP, aligning, angles_of
from anonymize.bodies.raster import rasterize
from anonymize.core.errors import MediaError, WeightsError
from anonymize.core.types import UInt8Array
from anonymize.lab.train.blazepose import CROP, Answer, BlazePose, cut
from anonymize.lab.train.fitting import Evidence, Posture, bone_trust, fit

MAP = 128  # pixels of the landmark maps' sides
NO_LANDMARK = -1
CLOTHES_M = 0.12  # how far from the drawn body a pixel of the mask still gets the nearest landmark: clothes, hair
BOX_MARGIN = 0.04  # of the crop's side: what is drawn further outside the box is hidden, not wrong
ALIKE = 0.3  # of the torso's length: landmarks of the picture and of the mirrored one that are so far apart are doubted
BEYOND = 0.1  # factor on how sure landmarks beyond the picture's border are: BlazePose pulls them in
SURE = 0.15  # less sure parts of the body get no pixel: BlazePose guesses what it does not see
LIMBS = (11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)  # landmarks that tell a pose
STRAIGHT = np.radians(70)  # most that a knee of a person who stands or walks is bent
MOST_LEAN = np.radians(40)  # of the line from the feet to the middle of the body, by the camera's pitch
BATCH = 192  # people fitted at once


@dataclass(frozen=True)
class Limits:
    """Who is fitted, and which fits are kept.

    Attributes:
        presence: Least presence of a person in the crop, as BlazePose says.
        inside: Least share of the mask inside the box.
        fill: Least share of the box that the mask's extent spans.
        overlap: Least intersection over union of the drawn body and the mask; clothes make it smaller.
        covered: Least share of the mask that is the drawn body or near it.
        known: Least share of the mask that gets a landmark: is covered by parts of which BlazePose is sure.
        spill: Largest share of the drawn body that lies outside the mask (things in front make it larger).
        error: Largest mean error of sure landmarks, as a share of the torso's length.
        neck, shoulders: Who has less than both is not kept (`proportions`).
        doubt: Largest angle between where the chest faces in the picture and in the mirrored one, degrees.
    """

    presence: float = 0.8
    inside: float = 0.85
    fill: float = 0.7
    overlap: float = 0.5
    covered: float = 0.85
    known: float = 0.5
    spill: float = 0.2
    error: float = 0.1
    neck: float = 0.9
    shoulders: float = 1.85
    doubt: float = 60.0


@dataclass(frozen=True, eq=False)
class Labels:
    """BlazePose's answers for N people, in picture pixels.

    Attributes:
        picture: [N] str, file names.
        box: [N] int, which of the picture's boxes.
        crop: [N, 3] float32, column and row of the crop's centre and its side.
        landmarks: [N, 33, 5] float32: column, row, z, visibility, presence.
        world: [N, 33, 3] float32, metres, x right, y down, z away from the camera.
        presence, inside, fill: [N] float32, see `Limits`.
        masks: [N, 8192] uint8, packed bits of the 256 x 256 crop.
    """

    picture: np.ndarray
    box: np.ndarray
    crop: np.ndarray
    landmarks: np.ndarray
    world: np.ndarray
    presence: np.ndarray
    inside: np.ndarray
    fill: np.ndarray
    masks: np.ndarray

    def passing(self, limits: Limits) -> np.ndarray:
        """Rows of people whose labels agree with their boxes."""
        good = (self.presence > limits.presence) & (self.inside >= limits.inside) & (self.fill >= limits.fill)
        rows: np.ndarray = np.nonzero(good)[0]
        return rows

    def evidence(self, rows: np.ndarray, sizes_wh: np.ndarray, mirrored: Mirrored | None = None) -> Evidence:
        """What the fit sees of some people.

        Args:
            rows: [B] of the labels.
            sizes_wh: [B, 2] widths and heights of their pictures.
            mirrored: Of these B people: places become the mean of the two where they are near each other, and
                landmarks less sure where they are not.
        """
        centre, side = self.crop[rows, None, :2], self.crop[rows, None, 2:]
        corners = np.stack([np.zeros_like(sizes_wh), sizes_wh], 1)  # [B, 2, 2]
        bits = np.unpackbits(self.masks[rows], axis=1).reshape(-1, CROP, CROP)
        landmarks, world = self.landmarks[rows], self.world[rows]
        if mirrored is not None:
            apart = np.linalg.norm(landmarks[..., :2] - mirrored.landmarks[..., :2], axis=2)
            torso = landmarks[:, 11:13, :2].mean(1) - landmarks[:, 23:25, :2].mean(1)
            torso_px = np.maximum(np.linalg.norm(torso, axis=1), 0.1 * side[:, 0, 0])
            alike = np.exp(-np.square(apart / torso_px[:, None] / ALIKE))[..., None].astype(np.float32)
            world = world + alike / 2 * (mirrored.world - world)
            landmarks = landmarks + alike / 2 * (mirrored.landmarks - landmarks)
            landmarks[..., 3:4] *= alike

        def to_crop(points: np.ndarray) -> Tensor:
            return torch.from_numpy(((points - centre) * CROP / side + CROP / 2).astype(np.float32))

        outside = ((landmarks[..., :2] < 0) | (landmarks[..., :2] > sizes_wh[:, None])).any(2)
        landmarks[outside, 3] *= BEYOND
        return Evidence(
            points=to_crop(landmarks[..., :2]),
            world=torch.from_numpy(world),
            sure=torch.from_numpy(landmarks[..., 3] * landmarks[..., 4]),
            masks=torch.from_numpy(bits.astype(bool)),
            inside=to_crop(corners).flatten(1),
        )


@dataclass(frozen=True, eq=False)
class Mirrored:
    """What BlazePose says of N people when it sees their mirrored crops, mirrored back; as in `Labels`.

    Attributes:
        landmarks: [N, 33, 5] float32.
        world: [N, 33, 3] float32.
    """

    landmarks: np.ndarray
    world: np.ndarray

    def __getitem__(self, chosen: slice) -> Mirrored:
        return Mirrored(self.landmarks[chosen], self.world[chosen])


def proportions(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of the neck and of the shoulders or torso in the picture, [N] each, in sizes of the face.

    Of people who fill the crop BlazePose draws the shoulders in to the face, and the fit puts the chest on the chin.

    Args:
        landmarks: [N, 33, 2] picture pixels.
    """

    def apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        length: np.ndarray = np.linalg.norm(first - second, axis=1)
        return length

    shoulders, mouth = landmarks[:, 11:13].mean(1), landmarks[:, 9:11].mean(1)
    face = apart(landmarks[:, [2, 5]].mean(1), mouth)
    ears = apart(landmarks[:, 7], landmarks[:, 8])
    broad = np.maximum(apart(landmarks[:, 11], landmarks[:, 12]), 0.7 * apart(shoulders, landmarks[:, 23:25].mean(1)))
    return apart(mouth, shoulders) / np.maximum(face, ears / 2 + 1e-6), broad / np.maximum(1.3 * face, ears + 1e-6)


def look_mirrored(
    labels: Labels, rows: np.ndarray, pictures: Path, teacher: Callable[[UInt8Array], Answer]
) -> Mirrored:
    """Ask BlazePose about the mirrored crops of some people, whose pictures lie in a folder.

    Raises:
        MediaError: A picture cannot be read.
    """
    landmarks, world = np.zeros((len(rows), 33, 5), np.float32), np.zeros((len(rows), 33, 3), np.float32)
    name, image = "", np.zeros((1, 1, 3), np.uint8)
    for k, row in enumerate(tqdm(rows, unit="person", desc="mirrored", disable=None)):
        if name != labels.picture[row]:
            name = str(labels.picture[row])
            read = cv2.imread(str(pictures / name))
            if read is None:
                raise MediaError(f"cannot read {pictures / name}")
            image = np.ascontiguousarray(read[:, :, ::-1]).astype(np.uint8)
        crop = labels.crop[row]
        answer = teacher(np.ascontiguousarray(cut(image, crop)[:, ::-1])).mirrored()
        landmarks[k], world[k] = answer.landmarks, answer.world
        landmarks[k, :, :3] *= crop[2] / CROP
        landmarks[k, :, :2] += crop[:2] - crop[2] / 2
    return Mirrored(landmarks, world)


def facing(world: np.ndarray) -> np.ndarray:
    """Unit vectors [N, 3] that leave the chest to the front, of landmarks [N, 33, 3]."""
    across, up = world[:, 11] - world[:, 12], world[:, 23:25].mean(1) - world[:, 11:13].mean(1)
    front = np.cross(across, up)
    result: np.ndarray = front / np.maximum(np.linalg.norm(front, axis=1, keepdims=True), 1e-6)
    return result


def load_labels(path: Path) -> Labels:
    """Read BlazePose's answers.

    Raises:
        WeightsError: The file is missing, damaged or of another layout.
    """
    try:
        with np.load(path) as archive:
            arrays = {field.name: archive[field.name] for field in fields(Labels)}
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} holds no labels of people: {error}") from error
    return Labels(**{k: v.astype(np.float32) if v.dtype == np.float16 else v for k, v in arrays.items()})


def drawn(posture: Posture, *, size: int = MAP) -> Tensor:
    """The nearest landmark at each pixel of each person's crop, [B, size, size] int16, -1 where no body is drawn."""
    body = load_body()
    rest = Points(body.body.vertices, body.body.components, body.body.weights)
    joints = body.joints + torch.einsum("br,rjc->bjc", posture.shape, body.joint_components)
    transforms = joint_transforms(joints, body.parents, posture.rotations)
    landmark = torch.from_numpy(body.surface.landmark_of_vertex.astype(np.int16))
    maps = torch.full((len(joints), size * size), NO_LANDMARK, dtype=torch.int16)
    for k in range(len(joints)):
        vertices = to_camera(rest.posed(posture.shape[k : k + 1], transforms[k : k + 1])[0] - joints[k, 0])
        scale, place = posture.camera[k, 0], posture.camera[k, 1:]
        flat = (scale * vertices[:, :2] + place) * (size / CROP)
        # far away for the perspective of the rasterizer to vanish
        visible = rasterize(torch.cat([flat, vertices[:, 2:] + 1000], 1), body.body.faces, (size, size))
        maps[k, visible.pixel] = landmark[visible.nearest_corner(body.body.faces)]
    return maps.view(-1, size, size)


@dataclass(frozen=True, eq=False)
class Fits:
    """Bodies fitted to N people; the training of the detector and the renderer's poses are made from them.

    Attributes:
        row: [N] int32, of the labels.
        picture: [N] str, file name.
        box: [N] int32, which of the picture's boxes.
        crop: [N, 3] float32, column and row of the crop's centre and its side, picture pixels: map pixel
            (column, row) is (p - centre) * S / side + S / 2.
        rotations: [N, J, 3, 3] float16, relative to the parent in rest axes (`Posture`).
        shape: [N, R] float16, coefficients of the body model.
        camera: [N, 3] float32, picture pixels per metre, column and row of the root joint.
        overlap, covered, known, spill, error, doubt: [N] float32, see `Limits`; doubt is -1 where no mirrored crop was
            looked at.
        kept: [N] bool, whether these figures are within the limits.
        landmarks: [N, S, S] int16, index of the surface's landmark at each pixel of the crop; -1 outside the mask,
            where the mask is far from the body, and on parts of which nothing is known.
    """

    row: np.ndarray
    picture: np.ndarray
    box: np.ndarray
    crop: np.ndarray
    rotations: np.ndarray
    shape: np.ndarray
    camera: np.ndarray
    overlap: np.ndarray
    covered: np.ndarray
    known: np.ndarray
    spill: np.ndarray
    error: np.ndarray
    doubt: np.ndarray
    kept: np.ndarray
    landmarks: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, chosen: np.ndarray) -> Fits:
        return Fits(**{name: value[chosen] for name, value in vars(self).items()})


def load_fits(path: Path) -> Fits:
    """Read what `fit_people` made and `save_fits` wrote.

    Raises:
        WeightsError: The file is missing, damaged or of another layout.
    """
    try:
        with np.load(path) as archive:
            return Fits(**{field.name: archive[field.name] for field in fields(Fits)})
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} holds no fitted bodies: {error}") from error


def save_fits(path: Path, fits: Fits) -> None:
    """Write fits to an npz file."""
    np.savez_compressed(path, **vars(fits))


def fit_people(
    labels: Labels,
    pictures: dict[str, dict[str, list[float]]],
    rows: np.ndarray,
    limits: Limits,
    mirrored: Mirrored | None = None,
) -> Fits:
    """Fit bodies to people and compare them with the labels.

    Args:
        labels: BlazePose's answers.
        pictures: Of `boxes.json`: for each picture its `size_wh` and `boxes_xyxy`.
        rows: Of the labels, who is fitted.
        limits: Which fits are kept.
        mirrored: Of the people of `rows`, if BlazePose was asked twice.
    """
    parts = []
    for start in tqdm(range(0, len(rows), BATCH), unit="batch", desc="fit", disable=None):
        chosen = rows[start : start + BATCH]
        names = [str(name) for name in labels.picture[chosen]]
        sizes = np.array([pictures[name]["size_wh"] for name in names], np.float32).reshape(-1, 2)
        boxes = np.array(
            [pictures[n]["boxes_xyxy"][b] for n, b in zip(names, labels.box[chosen], strict=True)], np.float32
        ).reshape(-1, 4)
        again = None if mirrored is None else mirrored[start : start + BATCH]
        parts.append(fit_batch(labels, chosen, sizes, boxes, limits, again))
    if not parts:
        parts.append(fit_batch(labels, rows, np.zeros((0, 2)), np.zeros((0, 4)), limits, None))
    return Fits(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Fits)})


def fit_batch(
    labels: Labels,
    rows: np.ndarray,
    sizes_wh: np.ndarray,
    boxes_xyxy: np.ndarray,
    limits: Limits,
    mirrored: Mirrored | None,
) -> Fits:
    """As `fit_people`, all at once; `sizes_wh` [B, 2] and `boxes_xyxy` [B, 4] in picture pixels."""
    evidence = labels.evidence(rows, sizes_wh, mirrored)
    posture = fit(evidence)
    crop = labels.crop[rows]
    blocks = CROP // MAP
    share = functional.avg_pool2d(evidence.masks[:, None].float(), blocks)[:, 0]
    masks, body = (share >= 0.5).numpy(), drawn(posture).numpy()
    trusted = landmark_trust(evidence.sure).numpy() >= SURE  # [B, L]
    doubt = np.full(len(rows), -1, np.float32)
    if mirrored is not None:
        alike = (facing(labels.world[rows]) * facing(mirrored.world)).sum(1)
        doubt = np.degrees(np.arccos(np.clip(alike, -1, 1))).astype(np.float32)
    figures, maps = [], []
    for k in range(len(rows)):
        window = np.zeros((MAP, MAP), np.bool_)
        low = np.maximum(boxes_xyxy[k, :2] - BOX_MARGIN * crop[k, 2], 0)
        high = np.minimum(boxes_xyxy[k, 2:] + BOX_MARGIN * crop[k, 2], sizes_wh[k])
        (x0, y0), (x1, y1) = (
            np.clip((p - crop[k, :2]) * MAP / crop[k, 2] + MAP / 2, 0, MAP).round().astype(int) for p in (low, high)
        )
        window[y0:y1, x0:x1] = True
        reach = CLOTHES_M * float(posture.camera[k, 0]) * MAP / CROP
        filled = dressed(body[k], masks[k], reach)
        maps.append(np.where((filled >= 0) & trusted[k][filled], filled, NO_LANDMARK))
        # what hides an unsure part is not the body's fault
        seen = (body[k] >= 0) & window & (trusted[k][body[k]] | masks[k])
        figures.append(agreement(seen, masks[k], filled >= 0, maps[k] >= 0))
    overlap, covered, known, spill = np.array(figures, np.float32).reshape(-1, 4).T
    error = posture.error.numpy()
    scale = crop[:, 2:] / CROP
    camera = posture.camera.numpy() * scale
    camera[:, 1:] += crop[:, :2] - crop[:, 2:] / 2
    neck, shoulders = proportions(labels.landmarks[rows, :, :2])
    kept = (neck >= limits.neck) | (shoulders >= limits.shoulders)
    kept &= (overlap >= limits.overlap) & (covered >= limits.covered) & (known >= limits.known)
    return Fits(
        row=rows.astype(np.int32),
        picture=labels.picture[rows],
        box=labels.box[rows].astype(np.int32),
        crop=crop,
        rotations=posture.rotations.numpy().astype(np.float16),
        shape=posture.shape.numpy().astype(np.float16),
        camera=camera,
        overlap=overlap,
        covered=covered,
        known=known,
        spill=spill,
        error=error,
        doubt=doubt,
        kept=kept & (spill <= limits.spill) & (error <= limits.error) & (doubt <= limits.doubt),
        landmarks=np.array(maps, np.int16).reshape(-1, MAP, MAP),
    )


def landmark_trust(sure: Tensor) -> Tensor:
    """How surely each landmark of the surface is in sight, [B, L], by BlazePose's [B, 33]."""
    body = load_body()
    return bone_trust(sure) @ body.body.weights[torch.from_numpy(body.surface.landmarks)].T


def dressed(body: np.ndarray, mask: np.ndarray, reach_px: float) -> np.ndarray:
    """The drawn landmarks [S, S] within the mask, its pixels within `reach_px` of the body as the nearest of it."""
    if not (body >= 0).any():
        return np.full_like(body, NO_LANDMARK)
    distance, label = cv2.distanceTransformWithLabels(
        (body < 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    inside = body >= 0
    of_label = np.zeros(int(label.max()) + 1, body.dtype)
    of_label[label[inside]] = body[inside]
    filled: np.ndarray = np.where(mask & (distance <= reach_px), of_label[label], NO_LANDMARK)
    return filled


def agreement(
    body: np.ndarray, mask: np.ndarray, near: np.ndarray, known: np.ndarray
) -> tuple[float, float, float, float]:
    """Overlap, covered, known and spill (`Limits`) of body, mask, what is near the body and what is known [S, S]."""
    both, area = float((body & mask).sum()), max(float(mask.sum()), 1)
    return (
        both / max(float((body | mask).sum()), 1),
        float((near & mask).sum()) / area,
        float((known & mask).sum()) / area,
        1 - both / max(float(body.sum()), 1),
    )


def fit_folder(
    folder: Path,
    output: Path,
    *,
    teacher: Path | None = None,
    poses: Path | None = None,
    most: int | None = None,
    limits: Limits | None = None,
) -> Fits:
    """Fit the people of a folder with `boxes.json`, `blazepose.npz` and `pictures/` and write them to `output`.

    Args:
        folder: Of the labels.
        output: An npz file.
        teacher: BlazePose's file, to ask it about the mirrored crops too; else fronts and backs go unchecked.
        poses: An npz file for the poses of those who are seen whole (`save_poses`).
        most: Fit so many people only (to try it).
        limits: Who is fitted and kept.

    Raises:
        WeightsError: The labels cannot be read.
        MediaError: A picture cannot be read.
        BackendError: The teacher needs a package that is not installed.
    """
    bounds = Limits() if limits is None else limits
    labels = load_labels(folder / "blazepose.npz")
    try:
        pictures = json.loads((folder / "boxes.json").read_text())
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder} holds no boxes: {error}") from error
    rows = labels.passing(bounds)[:most]
    mirrored = None if teacher is None else look_mirrored(labels, rows, folder / "pictures", BlazePose(teacher))
    fits = fit_people(labels, pictures, rows, bounds, mirrored)
    save_fits(output, fits)
    if poses is not None:
        save_poses(poses, fits, labels)
    return fits


def save_poses(path: Path, fits: Fits, labels: Labels, *, sure: float = 0.5, least: int = 9) -> int:
    """Write the poses of kept fits for `anonymize.lab.synthesis.poses.real_poses`, in its unit, without pictures.

    Args:
        path: An npz file.
        fits: Of the people.
        labels: That were fitted.
        sure: Visibility of a landmark that is in sight.
        least: How many landmarks of `LIMBS` must be in sight: poses of hidden limbs are guesses.

    Returns:
        Number of poses.
    """
    landmarks = labels.landmarks[fits.row][:, LIMBS]
    seen = (landmarks[..., 3] * landmarks[..., 4] >= sure).sum(1) >= least
    angles = [
        angles_of(upright(turns, shape))
        for turns, shape in zip(
            *(v[fits.kept & seen].astype(np.float32) for v in (fits.rotations, fits.shape)), strict=True
        )
    ]
    values = np.array(angles, np.float32).reshape(-1, fits.rotations.shape[1], 3)
    values[:, JOINT["root"], 2] = 0
    np.savez_compressed(path, angles=np.rint(values / ANGLE_STEP).astype(np.int8))
    return len(values)


def upright(turns: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Joint rotations [J, 3, 3] as seen by a level camera, where that can be told: who stands is in balance.

    A camera that looks down makes everyone lean. If the legs are about straight, the middle of the body is put above
    the middle of the feet; else the root stays as it is.
    """
    body = load_body()
    joints = body.joints + torch.einsum("r,rjc->jc", torch.from_numpy(shape), body.joint_components)
    moved = joint_transforms(joints, body.parents, torch.from_numpy(turns)[None])
    rest = Points(body.low_body.vertices, body.low_body.components, body.low_body.weights)
    middle = rest.posed(torch.from_numpy(shape)[None], moved)[0].mean(0)
    ends = [JOINT[f"{name}.{side}"] for name in ("ankle", "toes") for side in "LR"]
    feet = (moved[0, ends, :, :3] @ joints[ends, :, None])[..., 0] + moved[0, ends, :, 3]
    up = (middle - feet.mean(0)).numpy()
    knees = [JOINT[f"knee.{side}"] for side in "LR"]
    straight = np.arccos(np.clip((np.trace(turns[knees], axis1=1, axis2=2) - 1) / 2, -1, 1)).max() < STRAIGHT
    lean = np.arccos(np.clip(up[2] / np.linalg.norm(up), -1, 1))
    result = turns.copy()
    if straight and lean < MOST_LEAN:
        result[JOINT["root"]] = aligning(up, np.array([0, 0, 1.0])) @ turns[JOINT["root"]]
    return result

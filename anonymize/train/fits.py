"""Dense surface truth on real pictures: bodies fitted to BlazePose's landmarks and masks, drawn and checked.

Reads files of the layout of `people_boxes/blazepose.npz` (`anonymize train label` writes it), writes one file that
`load_fits` reads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from anonymize.errors import WeightsError
from anonymize.synthesis.body import JOINT, joint_transforms, load_body
from anonymize.synthesis.poses import ANGLE_STEP, aligning, angles_of
from anonymize.synthesis.raster import rasterize
from anonymize.train.fitting import CROP, Evidence, Points, Posture, fit, to_camera

MAP = 128  # pixels of the landmark maps' sides
NO_LANDMARK = -1
CLOTHES_M = 0.12  # how far from the drawn body a pixel of the mask still gets the nearest landmark: clothes, hair
BOX_MARGIN = 0.04  # of the crop's side: what is drawn further outside the box is hidden, not wrong
LIMBS = (11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)  # landmarks that a pose for rendering must know
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
        covered: Least share of the mask that gets a landmark.
        spill: Largest share of the drawn body that lies outside the mask (things in front make it larger).
        error: Largest mean error of sure landmarks, as a share of the torso's length.
    """

    presence: float = 0.8
    inside: float = 0.85
    fill: float = 0.7
    overlap: float = 0.5
    covered: float = 0.85
    spill: float = 0.2
    error: float = 0.1


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

    def evidence(self, rows: np.ndarray, sizes_wh: np.ndarray) -> Evidence:
        """What the fit sees of some people; `sizes_wh` [B, 2] are their pictures' widths and heights."""
        centre, side = self.crop[rows, None, :2], self.crop[rows, None, 2:]
        corners = np.stack([np.zeros_like(sizes_wh), sizes_wh], 1)  # [B, 2, 2]
        bits = np.unpackbits(self.masks[rows], axis=1).reshape(-1, CROP, CROP)
        landmarks = self.landmarks[rows]

        def to_crop(points: np.ndarray) -> Tensor:
            return torch.from_numpy(((points - centre) * CROP / side + CROP / 2).astype(np.float32))

        return Evidence(
            points=to_crop(landmarks[..., :2]),
            world=torch.from_numpy(self.world[rows]),
            sure=torch.from_numpy(landmarks[..., 3] * landmarks[..., 4]),
            masks=torch.from_numpy(bits.astype(bool)),
            inside=to_crop(corners).flatten(1),
        )


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
        overlap, covered, spill, error: [N] float32, see `Limits`.
        kept: [N] bool, whether these figures are within the limits.
        landmarks: [N, S, S] int16, index of the surface's landmark at each pixel of the crop; -1 outside the mask and
            where the mask is far from the body.
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
    spill: np.ndarray
    error: np.ndarray
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


def fit_people(labels: Labels, pictures: dict[str, dict[str, list[float]]], rows: np.ndarray, limits: Limits) -> Fits:
    """Fit bodies to people and compare them with the labels.

    Args:
        labels: BlazePose's answers.
        pictures: Of `boxes.json`: for each picture its `size_wh` and `boxes_xyxy`.
        rows: Of the labels, who is fitted.
        limits: Which fits are kept.
    """
    parts = []
    for start in tqdm(range(0, len(rows), BATCH), unit="batch", desc="fit", disable=None):
        chosen = rows[start : start + BATCH]
        names = [str(name) for name in labels.picture[chosen]]
        sizes = np.array([pictures[name]["size_wh"] for name in names], np.float32).reshape(-1, 2)
        boxes = np.array(
            [pictures[n]["boxes_xyxy"][b] for n, b in zip(names, labels.box[chosen], strict=True)], np.float32
        ).reshape(-1, 4)
        parts.append(fit_batch(labels, chosen, sizes, boxes, limits))
    if not parts:
        parts.append(fit_batch(labels, rows, np.zeros((0, 2)), np.zeros((0, 4)), limits))
    return Fits(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Fits)})


def fit_batch(labels: Labels, rows: np.ndarray, sizes_wh: np.ndarray, boxes_xyxy: np.ndarray, limits: Limits) -> Fits:
    """As `fit_people`, all at once; `sizes_wh` [B, 2] and `boxes_xyxy` [B, 4] in picture pixels."""
    evidence = labels.evidence(rows, sizes_wh)
    posture = fit(evidence)
    crop = labels.crop[rows]
    blocks = CROP // MAP
    share = functional.avg_pool2d(evidence.masks[:, None].float(), blocks)[:, 0]
    masks, body = (share >= 0.5).numpy(), drawn(posture).numpy()
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
        maps.append(dressed(body[k], masks[k], reach))
        figures.append(agreement(body[k] >= 0, masks[k], window, maps[k] >= 0))
    overlap, covered, spill = np.array(figures, np.float32).reshape(-1, 3).T
    error = posture.error.numpy()
    scale = crop[:, 2:] / CROP
    camera = posture.camera.numpy() * scale
    camera[:, 1:] += crop[:, :2] - crop[:, 2:] / 2
    kept = (overlap >= limits.overlap) & (covered >= limits.covered)
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
        spill=spill,
        error=error,
        kept=kept & (spill <= limits.spill) & (error <= limits.error),
        landmarks=np.array(maps, np.int16).reshape(-1, MAP, MAP),
    )


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


def agreement(body: np.ndarray, mask: np.ndarray, window: np.ndarray, known: np.ndarray) -> tuple[float, float, float]:
    """Overlap, covered and spill (`Limits`) of masks [S, S]; what is drawn outside the window does not count."""
    seen = body & window
    both = (seen & mask).sum()
    return (
        float(both / max((seen | mask).sum(), 1)),
        float((known & mask).sum() / max(mask.sum(), 1)),
        float(1 - both / max(seen.sum(), 1)),
    )


def fit_folder(
    folder: Path, output: Path, *, poses: Path | None = None, most: int | None = None, limits: Limits | None = None
) -> Fits:
    """Fit the people of a folder with `boxes.json` and `blazepose.npz` and write them to `output`.

    Args:
        folder: Of the labels.
        output: An npz file.
        poses: An npz file for the poses of those who are seen whole (`save_poses`).
        most: Fit so many people only (to try it).
        limits: Who is fitted and kept.

    Raises:
        WeightsError: The labels cannot be read.
    """
    bounds = Limits() if limits is None else limits
    labels = load_labels(folder / "blazepose.npz")
    try:
        pictures = json.loads((folder / "boxes.json").read_text())
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder} holds no boxes: {error}") from error
    fits = fit_people(labels, pictures, labels.passing(bounds)[:most], bounds)
    save_fits(output, fits)
    if poses is not None:
        save_poses(poses, fits, labels)
    return fits


def save_poses(path: Path, fits: Fits, labels: Labels, *, sure: float = 0.5) -> int:
    """Write the poses of kept fits for `anonymize.synthesis.poses.real_poses`, in its unit, without pictures.

    Args:
        path: An npz file.
        fits: Of the people.
        labels: That were fitted.
        sure: Least visibility of every landmark in `LIMBS`: poses of hidden limbs are guesses.

    Returns:
        Number of poses.
    """
    landmarks = labels.landmarks[fits.row][:, LIMBS]
    seen = (landmarks[..., 3] * landmarks[..., 4]).min(1) >= sure
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

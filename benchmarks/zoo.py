"""The zoo's networks beside Detectron2's own: do they answer the same, and how long does a frame of 720p take?

Weights are random (tests/fixtures/recipe.py), about as many boxes as on a busy street. Without Detectron2 the times are
ours only. Installing it: `pip install --no-build-isolation git+https://github.com/facebookresearch/detectron2`; the CSE
networks also need the folder projects/DensePose of its repository.

python benchmarks/zoo.py --densepose DETECTRON2/projects/DensePose
python benchmarks/zoo.py --compare 20 --pictures FOLDER --densepose DETECTRON2/projects/DensePose
"""

import argparse
import importlib
import importlib.util
import json
import pickle
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from anonymize.detect.zoo.nearest import VertexIndex
from anonymize.detect.zoo.network import ZooNetwork, build_network
from anonymize.detect.zoo.predictor import boxes_in, paste_fading
from anonymize.detect.zoo.preprocess import MAX_SIDE, MIN_SIDE, resized_hw, to_input

FIXTURES = Path(__file__).resolve().parents[1] / "tests" / "fixtures"
sys.path.append(str(FIXTURES))
recipe: Any = importlib.import_module("recipe")

CONFIGS = {
    "mask_r50": "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml",
    "mask_r101": "COCO-InstanceSegmentation/mask_rcnn_R_101_FPN_3x.yaml",
    "mask_x101": "COCO-InstanceSegmentation/mask_rcnn_X_101_32x8d_FPN_3x.yaml",
    "cse_r50": "configs/cse/densepose_rcnn_R_50_FPN_s1x.yaml",
    "cse_r101": "configs/cse/densepose_rcnn_R_101_FPN_s1x.yaml",
    "cse_r101_dl": "configs/cse/densepose_rcnn_R_101_FPN_DL_soft_s1x.yaml",
}
TIMED = ("mask_r50", "mask_x101", "cse_r101_dl")
SCORE = 0.3
SAME_PX = 8.0


@dataclass(frozen=True)
class People:
    """What was found in a picture, in its pixels."""

    boxes: np.ndarray
    scores: Tensor
    classes: Tensor
    masks: list[np.ndarray]
    embeddings: Tensor | None
    segmentations: Tensor | None


@dataclass
class Difference:
    """How answers to the same pictures differ; people are matched by their boxes."""

    index: VertexIndex | None = None
    counts: tuple[int, int] = (0, 0)
    boxes: list[float] = field(default_factory=list)  # pixels
    scores: list[float] = field(default_factory=list)
    masks: list[float] = field(default_factory=list)  # intersection over union
    embeddings: list[float] = field(default_factory=list)  # relative to the largest
    segmentations: list[float] = field(default_factory=list)
    vertices: list[float] = field(default_factory=list)  # share of equal ones

    def add(self, ones: list[People], others: list[People]) -> "Difference":
        for one, other in zip(ones, others, strict=True):
            self._match(one, other)
        return self

    def _match(self, one: People, other: People) -> None:
        self.counts = (self.counts[0] + len(one.boxes), self.counts[1] + len(other.boxes))
        if not len(one.boxes) or not len(other.boxes):
            return
        off = np.abs(one.boxes[:, None] - other.boxes[None]).max(2)
        off[(one.classes[:, None] != other.classes[None]).numpy()] = np.inf
        for row, column in enumerate(off.argmin(1)):
            if off[row, column] < SAME_PX:
                self._add(one, row, other, int(column), float(off[row, column]))

    def _add(self, one: People, row: int, other: People, column: int, off: float) -> None:
        self.boxes.append(off)
        self.scores.append(float((one.scores[row] - other.scores[column]).abs()))
        if one.masks:
            both, either = one.masks[row] & other.masks[column], one.masks[row] | other.masks[column]
            self.masks.append(both.sum() / either.sum() if either.any() else 1.0)
        if one.embeddings is not None and other.embeddings is not None and self.index is not None:
            a, b = one.embeddings[row], other.embeddings[column]
            self.embeddings.append(relative(a, b))
            # of random vertices none can be left out by the index: a sample, or it takes minutes
            nearest, others = (self.index(e.flatten(1).T[::37]) for e in (a, b))
            self.vertices.append(float((nearest == others).float().mean()))
        if one.segmentations is not None and other.segmentations is not None:
            self.segmentations.append(relative(one.segmentations[row], other.segmentations[column]))

    def __str__(self) -> str:
        parts = [f"{self.counts[0]} and {self.counts[1]} people, {len(self.boxes)} within {SAME_PX:.0f} px"]
        for name, values, worst in (
            ("boxes px", self.boxes, max),
            ("scores", self.scores, max),
            ("masks' IoU", self.masks, min),
            ("embeddings", self.embeddings, max),
            ("segmentation", self.segmentations, max),
            ("same vertices", self.vertices, min),
        ):
            if values:
                parts.append(f"{name} {np.median(values):.5f} (median) {worst(values):.5f} (worst)")
        return "; ".join(parts)


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / a.abs().max())


def parameters(name: str, seed: int) -> dict[str, np.ndarray]:
    """Those of the tests for seed 0."""
    spec = FIXTURES / f"{name}.json"
    deeper = not spec.exists()  # a ResNet-101 repeats the last block of the fourth stage of a ResNet-50
    shapes = json.loads((FIXTURES / f"{name.replace('101', '50')}.json" if deeper else spec).read_text())["parameters"]
    for parameter in [n for n in shapes if deeper and ".res4.5." in n]:
        shapes |= {parameter.replace(".res4.5.", f".res4.{i}."): shapes[parameter] for i in range(6, 23)}
    return {n: recipe.parameter(f"{seed}.{n}" if seed else n, shape) for n, shape in shapes.items()}


def build_ours(values: dict[str, np.ndarray], detections: int, dtype: torch.dtype) -> ZooNetwork:
    network = build_network({n: torch.from_numpy(v.copy()) for n, v in values.items()}).fold().lower(dtype)
    network.score, network.detections = SCORE, detections
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def build_theirs(name: str, values: dict[str, np.ndarray], detections: int, densepose: Path | None) -> Any:
    """Detectron2's predictor of the same weights; None where it is not installed."""
    surface = name.startswith("cse")
    if importlib.util.find_spec("detectron2") is None or (surface and densepose is None):
        return None
    if densepose is not None and str(densepose) not in sys.path:
        sys.path.insert(0, str(densepose))
    from anonymize.detect.detectron2 import build_predictor

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.pkl"
        file.write_bytes(pickle.dumps({"model": values, "__author__": "Detectron2 Model Zoo"}))
        config = str(densepose / CONFIGS[name]) if surface and densepose else CONFIGS[name]
        predictor = build_predictor(f"{config}={file}", SCORE, "cpu", densepose=surface)
    # set in the built model, so that both draw the same number of people
    predictor.model.roi_heads.box_predictor.test_topk_per_image = detections
    return predictor


@torch.inference_mode()
def our_answers(network: ZooNetwork, images: list[np.ndarray], shorter: int) -> list[People]:
    """People in the pixels of pictures of one size."""
    size = (images[0].shape[0], images[0].shape[1])
    resized = resized_hw(size, shorter, longer(shorter))
    answers = []
    for found in network([to_input(image, resized) for image in images]):
        boxes = boxes_in(size, resized, found.boxes)
        values = [] if found.masks is None else found.masks.numpy()
        masks = [paste_fading(mask, box, size).to_full(size) for mask, box in zip(values, boxes, strict=False)]
        answers.append(People(boxes, found.scores, found.classes, masks, found.embeddings, found.segmentations))
    return answers


@torch.inference_mode()
def their_answers(predictor: Any, images: list[np.ndarray], shorter: int) -> list[People]:
    """The same of Detectron2."""
    predictor.aug.short_edge_length, predictor.aug.max_size = (shorter, shorter), longer(shorter)
    inputs: list[dict[str, object]] = []
    for image in images:
        bgr = image[:, :, ::-1]
        pixels = predictor.aug.get_transform(bgr).apply_image(bgr)
        tensor = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float()
        inputs.append({"image": tensor, "height": image.shape[0], "width": image.shape[1]})
    answers = []
    for found in (answer["instances"] for answer in predictor.model.inference(inputs)):
        cse = found.pred_densepose if found.has("pred_densepose") else None
        masks = list(found.pred_masks.numpy()) if found.has("pred_masks") else []
        surface = (None, None) if cse is None else (cse.embedding, cse.coarse_segm)
        answers.append(People(found.pred_boxes.tensor.numpy(), found.scores, found.pred_classes, masks, *surface))
    return answers


def longer(shorter: int) -> int:
    return MAX_SIDE * shorter // MIN_SIDE


def noise(height: int, width: int, seed: int) -> np.ndarray:
    return np.ascontiguousarray(recipe.image(height, width, seed)[:, :, ::-1])


def index_of(network: ZooNetwork) -> VertexIndex | None:
    return VertexIndex(network.vertices()) if network.config.surface else None


def time_networks(a: argparse.Namespace) -> None:
    images = [noise(720, 1280, 100 + i) for i in range(max(a.batches))]

    def timed(name: str, whose: str, answer: Callable[[list[np.ndarray]], list[People]]) -> list[People]:
        """Print the least time; the answers to the largest batch."""
        answer(images[:1])  # the first call also prepares
        for batch in sorted(a.batches):
            measured = []
            for _ in range(a.rounds):
                wall, cpu = time.perf_counter(), time.process_time()
                answers = answer(images[:batch])
                measured.append(((time.perf_counter() - wall) / batch, (time.process_time() - cpu) / batch))
            best = min(measured)
            print(f"{name}, {whose}, batch {batch}: {best[0]:.2f} s a frame, {best[1]:.2f} s of CPU", flush=True)
        return answers

    for name in a.networks:
        values = parameters(name, a.seed)
        low = build_ours(values, a.detections, torch.bfloat16)
        lower = timed(name, "ours bfloat16", partial(our_answers, low, shorter=a.shorter))
        network = build_ours(values, a.detections, torch.float32)
        exact = timed(name, "ours float32", partial(our_answers, network, shorter=a.shorter))
        difference = Difference(index_of(network)).add(exact, lower)
        print(f"{name}, bfloat16 beside float32: {difference}", flush=True)
        predictor = build_theirs(name, values, a.detections, a.densepose)
        if predictor is not None:
            theirs = timed(name, "detectron2 float32", partial(their_answers, predictor, shorter=a.shorter))
            difference = Difference(index_of(network)).add(theirs, exact)
            print(f"{name}, ours beside detectron2: {difference}", flush=True)


def compare(a: argparse.Namespace) -> None:
    """Ours beside Detectron2's, from the picture to people in its pixels.

    Boxes of random weights overlap by any amount, so that rounding takes one proposal past the limit of the suppression
    now and then, and other people are chosen of that picture: those are counted as not within 8 px.
    """
    suffixes = {".jpg", ".png", ".webp"}
    files = sorted(p for p in a.pictures.rglob("*") if p.suffix in suffixes) if a.pictures else []
    files = files[:: max(1, len(files) // max(1, a.compare // 2))][: a.compare // 2]
    images = [np.asarray(Image.open(f).convert("RGB")) for f in files]
    images += [noise(240, 360, 100 + i) for i in range(a.compare - len(images))]
    for name in a.networks:
        values = parameters(name, a.seed)
        network = build_ours(values, a.detections, torch.float32)
        predictor = build_theirs(name, values, a.detections, a.densepose)
        if predictor is None:
            sys.exit("Detectron2, or DensePose's folder (--densepose), is not there")
        total = Difference(index_of(network))
        for image in images:
            total.add(their_answers(predictor, [image], a.shorter), our_answers(network, [image], a.shorter))
        print(f"{name}, {len(images)} pictures: {total}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=CONFIGS, help="Default: all to compare, three to time.")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1, help="Of the weights; 0 for those of the tests.")
    parser.add_argument("--detections", type=int, default=20, help="People a picture at most.")
    parser.add_argument("--densepose", type=Path, help="DensePose's folder in Detectron2's repository.")
    parser.add_argument("--compare", type=int, metavar="N", help="Compare answers to N pictures instead of times.")
    parser.add_argument("--pictures", type=Path, help="Folder of real pictures, for half of N.")
    parser.add_argument("--shorter", type=int, default=800, help="Side that pictures are resized to.")
    a = parser.parse_args()
    a.networks = a.networks or (list(CONFIGS) if a.compare else TIMED)
    torch.set_num_threads(a.threads)
    (compare if a.compare else time_networks)(a)


if __name__ == "__main__":
    main()

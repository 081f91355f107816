"""Time of the zoo's networks on a 720p frame, beside Detectron2's where that is installed; what bfloat16 changes.

Weights are random (tests/fixtures/recipe.py): about as many boxes as on a busy street.

python benchmarks/zoo.py --networks mask_r50 mask_x101 cse_r101_dl --batches 1 4
python benchmarks/zoo.py --compare 20 --pictures FOLDER --densepose DETECTRON2/projects/DensePose
"""

import argparse
import importlib.util
import json
import pickle
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from PIL import Image

from anonymize.detect.zoo.network import Predictions, ZooNetwork, build_network
from anonymize.detect.zoo.predictor import boxes_in, paste_fading
from anonymize.detect.zoo.preprocess import resized_hw, to_input

FIXTURES = Path(__file__).resolve().parents[1] / "tests" / "fixtures"
CONFIGS = {
    "mask_r50": "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml",
    "mask_x101": "COCO-InstanceSegmentation/mask_rcnn_X_101_32x8d_FPN_3x.yaml",
    "cse_r50": "configs/cse/densepose_rcnn_R_50_FPN_s1x.yaml",
    "cse_r101_dl": "configs/cse/densepose_rcnn_R_101_FPN_DL_soft_s1x.yaml",
}


def recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("recipe", FIXTURES / "recipe.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parameters(name: str) -> dict[str, np.ndarray]:
    shapes = json.loads((FIXTURES / f"{name}.json").read_text())["parameters"]
    return {n: recipe().parameter(n, s) for n, s in shapes.items()}


def ours(values: dict[str, np.ndarray], score: float, detections: int, dtype: torch.dtype) -> ZooNetwork:
    network = build_network({n: torch.from_numpy(v.copy()) for n, v in values.items()}).fold().lower(dtype)
    network.score, network.detections = score, detections
    return network.to(memory_format=torch.channels_last)


def theirs(name: str, values: dict[str, np.ndarray], score: float, detections: int, densepose: Path | None):
    """Detectron2's predictor of the same weights; None where it is not installed."""
    if importlib.util.find_spec("detectron2") is None or (name.startswith("cse") and densepose is None):
        return None
    if densepose is not None:
        sys.path.insert(0, str(densepose))
    from anonymize.detect.detectron2 import build_predictor

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.pkl"
        file.write_bytes(pickle.dumps({"model": values, "__author__": "Detectron2 Model Zoo"}))
        surface = name.startswith("cse")
        config = str(densepose / CONFIGS[name]) if surface and densepose else CONFIGS[name]
        predictor = build_predictor(f"{config}={file}", score, "cpu", densepose=surface)
    # the number of detections is set in the built model, so that both draw the same
    heads = predictor.model.roi_heads
    heads.box_predictor.test_topk_per_image = detections
    return predictor


def seconds(run: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Least wall and CPU time."""
    run()
    measured = []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        measured.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(w for w, _ in measured), min(c for _, c in measured)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def difference(size: tuple[int, int], resized: tuple[int, int], one: Predictions, other: Predictions) -> str:
    """How the second differs from the first, box by box."""
    a, b = (boxes_in(size, resized, p.boxes) for p in (one, other))
    if not len(a) or not len(b):
        return f"{len(a)} and {len(b)} boxes"
    off = np.abs(a[:, None] - b[None]).max(2) + 1e3 * (one.classes[:, None] != other.classes[None]).numpy()
    nearest, found = off.argmin(1), off.min(1) < 8
    text = f"{len(a)} and {len(b)} boxes, {found.sum()} within 8 px"
    if not found.any():
        return text
    rows, columns = np.flatnonzero(found), nearest[found]
    text += f": boxes {np.median(off[rows, columns]):.2f} px (median), {off[rows, columns].max():.2f} (worst), "
    text += f"scores {(one.scores[rows] - other.scores[columns]).abs().max():.4f}"
    if one.masks is not None and other.masks is not None:
        overlaps = [
            iou(
                *(
                    paste_fading(m.numpy(), box, size).to_full(size)
                    for m, box in ((one.masks[i], a[i]), (other.masks[j], b[j]))
                )
            )
            for i, j in zip(rows, columns, strict=True)
        ]
        text += f", masks' IoU {np.median(overlaps):.4f} (median), {min(overlaps):.4f} (worst)"
    if one.embeddings is not None and other.embeddings is not None:
        apart = (one.embeddings[rows] - other.embeddings[columns]).abs().amax() / one.embeddings[rows].abs().amax()
        text += f", embeddings {apart:.5f} relative (worst)"
    return text


def detectron2_inputs(predictor, images: list[np.ndarray]) -> list[dict[str, object]]:
    made = []
    for image in images:
        bgr = image[:, :, ::-1]
        pixels = predictor.aug.get_transform(bgr).apply_image(bgr)
        tensor = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float()
        made.append({"image": tensor, "height": image.shape[0], "width": image.shape[1]})
    return made


@torch.inference_mode()
def time_networks(a: argparse.Namespace) -> None:
    image = np.ascontiguousarray(recipe().image(720, 1280, 7)[:, :, ::-1])
    size = (720, 1280)
    resized = resized_hw(size)
    for name in a.networks:
        values = parameters(name)
        score = json.loads((FIXTURES / f"{name}.json").read_text())["score_thresh"]
        exact = None
        for dtype in (torch.float32, torch.bfloat16):
            network = ours(values, score, a.detections, dtype)
            (found,) = network([to_input(image, resized)])
            if exact is None:
                exact = found
            else:
                print(f"{name:12} bfloat16 beside float32: {difference(size, resized, exact, found)}", flush=True)
            for batch in a.batches:
                wall, cpu = seconds(lambda n=network, b=batch: n([to_input(image, resized)] * b), a.rounds)
                label = f"{name:12} ours       {str(dtype).removeprefix('torch.'):8} batch {batch}"
                print(f"{label}: {wall / batch:6.2f} s a frame, {cpu / batch:6.2f} s of CPU", flush=True)
            del network
        predictor = theirs(name, values, score, a.detections, a.densepose)
        if predictor is None:
            continue
        for batch in a.batches:
            wall, cpu = seconds(
                lambda p=predictor, b=batch: p.model.inference(detectron2_inputs(p, [image] * b), do_postprocess=False),
                a.rounds,
            )
            label = f"{name:12} detectron2 float32  batch {batch}"
            print(f"{label}: {wall / batch:6.2f} s a frame, {cpu / batch:6.2f} s of CPU", flush=True)


@torch.inference_mode()
def compare(a: argparse.Namespace) -> None:
    """Ours beside Detectron2's on noise and real pictures."""
    files = sorted(p for p in a.pictures.rglob("*") if p.suffix in {".jpg", ".png"}) if a.pictures else []
    files = files[:: max(1, len(files) // max(1, a.compare // 2))][: a.compare // 2]
    images = [np.asarray(Image.open(f).convert("RGB")) for f in files]
    for seed in range(100, 100 + a.compare - len(images)):
        images.append(np.ascontiguousarray(recipe().image(240, 360, seed)[:, :, ::-1]))
    for name in a.networks:
        values = parameters(name)
        score = json.loads((FIXTURES / f"{name}.json").read_text())["score_thresh"]
        network, predictor = ours(values, score, a.detections, torch.float32), None
        predictor = theirs(name, values, score, a.detections, a.densepose)
        if predictor is None:
            sys.exit("Detectron2, or DensePose's folder (--densepose), is not there")
        for number, image in enumerate(images):
            size = (image.shape[0], image.shape[1])
            resized = resized_hw(size, a.shorter, 1333 * a.shorter // 800)
            pixels = to_input(image, resized)
            (mine,) = network([pixels])
            (found,) = predictor.model.inference([{"image": pixels}], do_postprocess=False)
            kind = files[number].name if number < len(files) else "noise"
            print(f"{name} {kind}: {difference(size, resized, converted(found), mine)}", flush=True)


def converted(found) -> Predictions:
    """Detectron2's instances as ours."""
    cse = found.pred_densepose if found.has("pred_densepose") else None
    return Predictions(
        found.pred_boxes.tensor,
        found.scores,
        found.pred_classes,
        masks=found.pred_masks[:, 0] if found.has("pred_masks") else None,
        embeddings=None if cse is None else cse.embedding,
        segmentations=None if cse is None else cse.coarse_segm,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=CONFIGS, default=["mask_r50", "mask_x101", "cse_r101_dl"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--detections", type=int, default=20)
    parser.add_argument("--densepose", type=Path, help="DensePose's folder in Detectron2's repository.")
    parser.add_argument("--compare", type=int, metavar="N", help="Compare N pictures with Detectron2 instead.")
    parser.add_argument("--pictures", type=Path, help="Folder of real pictures, for half of N.")
    parser.add_argument("--shorter", type=int, default=800, help="Side that compared pictures are resized to.")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    (compare if a.compare else time_networks)(a)


if __name__ == "__main__":
    main()

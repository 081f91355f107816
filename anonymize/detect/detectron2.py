"""Detectron2, where it is installed, as a detector: `--detector detectron2[:MASKS[+SURFACE]]`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anonymize.core.errors import BackendError, OptionError, WeightsError
from anonymize.core.types import Detections, RegionMask, UInt8Array
from anonymize.detect.zoo.heads import SURFACE
from anonymize.detect.zoo.network import Predictions
from anonymize.detect.zoo.predictor import DEFAULT_SCORE, merge
from anonymize.downloads.cache import locate
from anonymize.downloads.catalog import CATALOG

DEFAULT_CONFIG = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml"
REPOSITORY = "git+https://github.com/facebookresearch/detectron2"


class Detectron2Detector:
    """Finds people with any model of Detectron2 that predicts masks and, if given, their surface with a DensePose CSE.

    Args:
        masks: A `DefaultPredictor` whose instances have masks.
        surface: A `DefaultPredictor` whose instances have a CSE; without one no person has CSE.
        person: Number of the class "person" in `masks`.
    """

    def __init__(self, masks: Any, surface: Any = None, *, person: int = 0) -> None:
        self._masks, self._bodies, self._person = masks, surface, person
        self.surface = None if surface is None else SURFACE

    @torch.inference_mode()
    def vertices(self) -> torch.Tensor | None:
        """See `ZooDetector.vertices`."""
        return None if self._bodies is None else self._bodies.model.roi_heads.embedder(SURFACE).float()

    @torch.inference_mode()
    def detect(self, images: Sequence[UInt8Array]) -> list[Detections]:
        """See `Detector.detect`."""
        if not images:
            return []
        people = _instances(self._masks, images)
        bodies = [None] * len(images) if self._bodies is None else _instances(self._bodies, images)
        return [
            self._convert((image.shape[0], image.shape[1]), *found)
            for image, *found in zip(images, people, bodies, strict=True)
        ]

    def _convert(self, size_hw: tuple[int, int], people: Any, bodies: Any) -> Detections:
        if not people.has("pred_masks"):
            raise OptionError("this configuration of Detectron2 predicts no masks")
        people = people[people.pred_classes == self._person]
        regions = [RegionMask.from_full(mask) for mask in people.pred_masks.bool().cpu().numpy()]
        boxes = people.pred_boxes.tensor.cpu().numpy().astype(np.float32)
        return merge(size_hw, boxes, people.scores.cpu().numpy(), regions, _surface(bodies))


def _instances(predictor: Any, images: Sequence[UInt8Array]) -> list[Any]:
    """Detectron2's `Instances` of each picture, in pixels of the picture."""
    inputs = []
    for image in images:
        pixels = image[:, :, ::-1] if predictor.input_format == "BGR" else image
        resized = predictor.aug.get_transform(pixels).apply_image(pixels)
        tensor = torch.from_numpy(np.ascontiguousarray(resized.astype(np.float32).transpose(2, 0, 1)))
        inputs.append({"image": tensor, "height": image.shape[0], "width": image.shape[1]})
    return [found["instances"] for found in predictor.model(inputs)]


def _surface(bodies: Any) -> Predictions | None:
    """The CSE of `Instances`; None where there is none."""
    if bodies is None:
        return None
    if not bodies.has("pred_densepose") or not hasattr(bodies.pred_densepose, "embedding"):
        raise OptionError("this configuration of DensePose predicts no continuous surface embeddings (CSE)")
    cse = bodies.pred_densepose
    boxes = bodies.pred_boxes.tensor.float()
    return Predictions(
        boxes, bodies.scores, bodies.pred_classes, embeddings=cse.embedding, segmentations=cse.coarse_segm
    )


def build_detectron2_detector(
    configs: str = "", *, score: float | None = None, device: torch.device | str = "cpu"
) -> Detectron2Detector:
    """A detector on Detectron2.

    Args:
        configs: MASKS or MASKS+SURFACE, each CONFIG or CONFIG=WEIGHTS. CONFIG is a name of Detectron2's model zoo, such
            as the default "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml", or a YAML file; SURFACE is a file of
            DensePose's configs/cse. Without WEIGHTS: those that were pulled for CONFIG, else those CONFIG names.
        score: People with a lower score are left out, in [0, 1].
        device: Where to compute.

    Raises:
        BackendError: Detectron2, or DensePose for SURFACE, is not installed.
        OptionError: There is no such configuration, or it predicts no masks or no CSE.
        WeightsError: The weights cannot be read.
    """
    _import("detectron2", REPOSITORY)
    sure = DEFAULT_SCORE if score is None else score
    masks, _, surface = configs.partition("+")
    predictor = build_predictor(masks or DEFAULT_CONFIG, sure, device, densepose=False)
    body = build_predictor(surface, sure, device, densepose=True) if surface else None
    return Detectron2Detector(predictor, body, person=_person(predictor))


def build_predictor(config: str, score: float, device: torch.device | str, *, densepose: bool) -> Any:
    """Detectron2's `DefaultPredictor` of CONFIG or CONFIG=WEIGHTS, see `build_detectron2_detector`."""
    name, _, weights = config.partition("=")
    settings = _import("detectron2.config", REPOSITORY).get_cfg()
    if densepose:
        _import("densepose", f"{REPOSITORY}#subdirectory=projects/DensePose").add_densepose_config(settings)
    zoo, engine = (_import(f"detectron2.{part}", REPOSITORY) for part in ("model_zoo", "engine"))
    try:
        settings.merge_from_file(name if Path(name).is_file() else zoo.get_config_file(name))
    except (RuntimeError, OSError, KeyError, ValueError, AssertionError) as error:
        raise OptionError(f"cannot read the configuration {name} of Detectron2: {_line(error)}") from error
    if densepose:
        if not settings.MODEL.ROI_DENSEPOSE_HEAD.CSE.EMBEDDERS:
            raise OptionError(f"{name} is no configuration of a CSE")
        for embedder in settings.MODEL.ROI_DENSEPOSE_HEAD.CSE.EMBEDDERS.values():
            embedder.INIT_FILE = ""  # the checkpoint holds it; else it would be downloaded
        if SURFACE not in settings.MODEL.ROI_DENSEPOSE_HEAD.CSE.EMBEDDERS:
            raise OptionError(f"{name} predicts another surface than {SURFACE}")
    elif not settings.MODEL.MASK_ON:
        raise OptionError(f"{name} is a configuration without masks")
    settings.MODEL.WEIGHTS = weights or _weights(name, settings.MODEL.WEIGHTS, zoo, densepose=densepose)
    settings.MODEL.DEVICE = str(device)
    settings.MODEL.ROI_HEADS.SCORE_THRESH_TEST = settings.MODEL.RETINANET.SCORE_THRESH_TEST = score
    settings.MODEL.PANOPTIC_FPN.COMBINE.INSTANCES_CONFIDENCE_THRESH = score
    try:
        return engine.DefaultPredictor(settings)
    except Exception as error:  # whatever Detectron2 and what it loads with may raise
        raise WeightsError(f"Detectron2 cannot load {name} with {settings.MODEL.WEIGHTS}: {_line(error)}") from error


def _weights(name: str, named: str, zoo: Any, *, densepose: bool) -> str:
    """Weights of a configuration: as pulled, else Detectron2's own address, else as the configuration says."""
    known = [entry.name for entry in CATALOG.values() if f"/{Path(name).stem}/" in entry.url]
    if known and (densepose or Path(name).is_file()):
        return str(locate(known[0]))  # such a configuration names the weights that training began with
    try:
        return str(locate(known[0])) if known else str(zoo.get_checkpoint_url(name))
    except WeightsError:
        return str(zoo.get_checkpoint_url(name))
    except RuntimeError:
        return named


def _person(predictor: Any) -> int:
    """Number of the class "person"; 0, as in COCO, where the data set's names are unknown."""
    names = getattr(getattr(predictor, "metadata", None), "thing_classes", None) or ["person"]
    if "person" not in names:
        raise OptionError("this configuration of Detectron2 knows no people")
    return int(names.index("person"))


def _import(package: str, address: str) -> Any:
    try:
        return import_module(package)
    except ImportError as error:
        raise BackendError(
            f"{package} is not installed or does not work ({_line(error)}); "
            f"it needs a compiler: pip install --no-build-isolation '{address}' 'setuptools<81'"
        ) from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__

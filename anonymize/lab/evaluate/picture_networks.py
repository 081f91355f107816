"""The networks that pictures are measured with: features for FID, distances for LPIPS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from anonymize.core.errors import WeightsError
from anonymize.core.types import FloatArray
from anonymize.lab.evaluate.features import EfficientNetLite0, FeatureNetwork
from anonymize.lab.evaluate.reid_network import open_onnx

BACKBONES = {5: "alex", 13: "vgg"}
"""Name of LPIPS's variants by the number of convolutions of their backbone, AlexNet or VGG-16."""


class Describer(Protocol):
    """Describes pictures by vectors."""

    name: str

    def describe(self, pictures: Tensor) -> FloatArray:
        """Vectors [N, D] of pictures [N, 3, H, W] float32 RGB in [0, 1]."""
        ...


class Judge(Protocol):
    """Tells how different pictures look."""

    name: str

    def distances(self, first: Tensor, second: Tensor) -> FloatArray:
        """[N], 0 for the same, of pictures [N, 3, H, W] float32 RGB in [0, 1]."""
        ...


@dataclass(frozen=True, eq=False)
class PictureNetworks:
    """What a table is measured with.

    Attributes:
        fid: Features for FID: Inception's for figures that compare with the literature's.
        clip: Those for FID-CLIP; None to leave it out.
        lpips: Perceptual distance.
    """

    fid: Describer
    clip: Describer | None
    lpips: Judge

    @property
    def names(self) -> dict[str, str | None]:
        """What each figure is measured with."""
        return {"FID": self.fid.name, "FID-CLIP": self.clip.name if self.clip else None, "LPIPS": self.lpips.name}


def load_picture_networks(fid: Path | None, clip: Path | None, lpips: Path | None) -> PictureNetworks:
    """Networks by file; EfficientNet-Lite0, which no training here has seen, stands in for those of FID and LPIPS.

    Args:
        fid, clip: ONNX, see `OnnxDescriber`.
        lpips: See `LearnedJudge`.

    Raises:
        WeightsError: A file is missing, damaged, unsafe to read or of another kind.
        OptionError: The extra `eval` is not installed.
    """
    standing_in = EfficientNetLite0() if fid is None or lpips is None else None
    described = OnnxDescriber(fid) if fid is not None else None
    judged = LearnedJudge(lpips) if lpips is not None else None
    seen_by_clip = OnnxDescriber(clip) if clip is not None else None
    if standing_in is None:
        assert described is not None and judged is not None
        return PictureNetworks(described, seen_by_clip, judged)
    return PictureNetworks(described or MapDescriber(standing_in), seen_by_clip, judged or MapJudge(standing_in))


class MapDescriber:
    """Means of a feature network's deepest map."""

    def __init__(self, network: FeatureNetwork) -> None:
        self.name, self._network = network.name, network

    @torch.inference_mode()
    def describe(self, pictures: Tensor) -> FloatArray:
        """See `Describer`."""
        vectors: FloatArray = self._network.maps(pictures)[-1].mean((2, 3)).double().numpy()
        return vectors


class MapJudge:
    """Distance of a feature network's maps as in LPIPS, all channels weighing the same (Zhang et al. 2018, eq. 1).

    Features are made unit vectors at each place; squared differences are averaged over places and added over maps.
    """

    def __init__(self, network: FeatureNetwork) -> None:
        self.name, self._network = f"{network.name}, channels unweighted", network

    @torch.inference_mode()
    def distances(self, first: Tensor, second: Tensor) -> FloatArray:
        """See `Judge`."""
        maps = zip(self._network.maps(first), self._network.maps(second), strict=True)
        levels = [(F.normalize(a) - F.normalize(b)).square().sum(1).mean((1, 2)) for a, b in maps]
        summed: FloatArray = torch.stack(levels).sum(0).double().numpy()
        return summed


class OnnxDescriber:
    """A network in ONNX, such as Inception or CLIP's image encoder: pictures to vectors.

    Args:
        path: Takes RGB in [0, 1], [N, 3, H, W]. What else it needs, such as CLIP's normalisation, is part of the graph.

    Raises:
        WeightsError: The file is missing, damaged or of another kind.
        BackendError: ONNX Runtime is not installed.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise WeightsError(f"there is no file {path}")
        self.name = path.name
        self._run: Callable[[FloatArray], FloatArray]
        self._run, self._size_hw, self._batch = open_onnx(path, (299, 299))

    def describe(self, pictures: Tensor) -> FloatArray:
        """See `Describer`."""
        images = np.stack([self._fit(picture) for picture in pictures.permute(0, 2, 3, 1).numpy()])
        parts = [self._run(images[i : i + self._batch]) for i in range(0, len(images), self._batch)]
        return np.concatenate(parts).reshape(len(images), -1).astype(np.float64)

    def _fit(self, picture: FloatArray) -> FloatArray:
        shrinks = picture.shape[0] > self._size_hw[0]
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        resized = cv2.resize(np.ascontiguousarray(picture), self._size_hw[::-1], interpolation=method)
        return np.ascontiguousarray(np.asarray(resized, np.float32).transpose(2, 0, 1))


class LearnedJudge:
    """LPIPS with the weights of its authors, which come with torchmetrics, on AlexNet or VGG-16.

    Args:
        path: torchvision's checkpoint of AlexNet or VGG-16, read safely.

    Raises:
        WeightsError: The file is missing, damaged, unsafe to read or of another kind.
    """

    def __init__(self, path: Path) -> None:
        from torchmetrics.functional.image.lpips import _LPIPS

        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            given = {name: value for name, value in state.items() if name.startswith("features.")}
        except Exception as error:  # damaged and hostile files fail in many ways
            raise WeightsError(f"{path} is no checkpoint of AlexNet or VGG-16 that can be read safely") from error
        kind = BACKBONES.get(sum(name.endswith(".weight") for name in given))
        if kind is None:
            raise WeightsError(f"{path} is neither AlexNet nor VGG-16")
        self.name = f"LPIPS, {path.name}"
        self._network = _LPIPS(net=kind, pnet_rand=True).eval()  # type: ignore[arg-type]
        # slice1.0.weight here is features.0.weight there
        own = {f"features.{name.split('.', 1)[1]}": value for name, value in self._network.net.named_parameters()}
        if own.keys() != given.keys() or any(own[name].shape != value.shape for name, value in given.items()):
            raise WeightsError(f"{path} is neither AlexNet nor VGG-16")
        for name, value in given.items():
            own[name].data.copy_(value)

    @torch.inference_mode()
    def distances(self, first: Tensor, second: Tensor) -> FloatArray:
        """See `Judge`."""
        distances: FloatArray = self._network(2 * first - 1, 2 * second - 1).flatten().double().numpy()
        return distances


def in_batches(pictures: Sequence[Tensor], size: int = 8) -> list[Tensor]:
    """Pictures [3, H, W] in [-1, 1] as batches [N, 3, H, W] in [0, 1]."""
    return [((torch.stack(list(pictures[i : i + size])) + 1) / 2).clamp(0, 1) for i in range(0, len(pictures), size)]

"""torchvision's Mask R-CNN v2 (ResNet-50 and FPN, trained as in Li et al. 2021), to be used as `ZooNetwork` is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import maskrcnn_resnet50_fpn_v2

from anonymize.core.errors import WeightsError
from anonymize.core.parameters import load_strictly, read_torch
from anonymize.detect.zoo.network import Predictions

SUFFIX = ".pth"
COUNTERS = "num_batches_tracked"
"""Ends the names of what only a training looks at; a file may lack them."""


class TorchvisionNetwork(nn.Module):
    """torchvision's model in the terms of `ZooNetwork`: BGR in, the first class is "person", regions' masks out.

    What it is made of is called part by part, since its own `forward` draws each mask into the whole picture.

    Args:
        model: A `torchvision.models.detection.MaskRCNN`.
    """

    resizes = True
    """It takes pictures of any size: its own transform resizes them."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.dtype = model, torch.float32
        heads = model.roi_heads
        for part in (model.backbone, model.rpn.head, heads.box_predictor, heads.mask_predictor):
            part.register_forward_hook(lambda _module, _inputs, output: in_float(output))

    @property
    def score(self) -> float:
        """Boxes with a lower score are left out."""
        return float(self.model.roi_heads.score_thresh)

    @score.setter
    def score(self, value: float) -> None:
        self.model.roi_heads.score_thresh = value

    def fold(self) -> TorchvisionNetwork:
        """See `ZooNetwork.fold`; nothing is folded here."""
        return self

    def lower(self, dtype: torch.dtype) -> TorchvisionNetwork:
        """Compute layers in a lower precision; anchors, boxes, scores and what is handed out stay float32."""
        self.dtype = dtype
        return self

    def forward(self, images: Sequence[Tensor]) -> list[Predictions]:
        """Predictions, in pixels of the pictures, of pictures [3, h, w] float BGR in [0, 255]."""
        model = self.model
        with torch.autocast(images[0].device.type, self.dtype, enabled=self.dtype != torch.float32):
            batch, _ = model.transform([image.flip(0) / 255 for image in images])
            maps = model.backbone(batch.tensors)
            proposals, _ = model.rpn(batch, maps)
            found, _ = model.roi_heads(maps, proposals, batch.image_sizes)
        predictions = []
        for image, (height, width), people in zip(images, batch.image_sizes, found, strict=True):
            scale = people["boxes"].new_tensor([image.shape[2] / width, image.shape[1] / height]).repeat(2)
            predictions.append(
                Predictions(people["boxes"] * scale, people["scores"], people["labels"] - 1, people["masks"][:, 0])
            )
        return predictions


def in_float(output: Any) -> Any:
    """Tensors, mappings and sequences of tensors in float32: anchors and boxes take their precision of them."""
    if isinstance(output, Tensor):
        return output.float()
    if isinstance(output, Mapping):
        return type(output)((name, in_float(value)) for name, value in output.items())  # type: ignore[call-arg]
    return type(output)(in_float(value) for value in output)


def read_torchvision_network(path: Path) -> TorchvisionNetwork:
    """The network of torchvision's `.pth` checkpoint, ready for inference.

    Raises:
        WeightsError: The file is missing, damaged, unsafe to read or of another model.
    """
    parameters = read_torch(path)
    if not isinstance(parameters, Mapping) or not all(isinstance(value, Tensor) for value in parameters.values()):
        raise WeightsError(f"{path} is no checkpoint of torchvision: it holds more than tensors")
    model = maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None)
    counters = {name: value for name, value in model.state_dict().items() if name.endswith(COUNTERS)}
    load_strictly(model, counters | dict(parameters), path)
    return TorchvisionNetwork(model).eval().requires_grad_(False)

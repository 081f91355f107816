"""Mask R-CNN and DensePose CSE of Detectron2's zoo: pictures in, raw predictions out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms, clip_boxes_to_image

from anonymize.core.errors import WeightsError
from anonymize.core.parameters import load_strictly
from anonymize.detect.zoo.backbone import NormedConv, Pyramid, ResNet
from anonymize.detect.zoo.heads import (
    BOX_NMS,
    SURFACE,
    BoxHead,
    BoxPredictor,
    Decoder,
    Embedder,
    MaskHead,
    ProposalGenerator,
    SurfaceHead,
    SurfacePredictor,
    decode,
    pool,
)

BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
DIVISOR = 32  # the pyramid's coarsest stride that is added to a finer one
IGNORED = ("pixel_mean", "pixel_std")  # older files hold them, and the anchors; they are part of the code here


@dataclass(frozen=True)
class ZooConfig:
    """What a checkpoint's layout implies.

    Attributes:
        depth: 50 or 101.
        resnext: 32 groups of 8 channels; such files normalize by the pixels' deviation and stride in the 3 x 3.
        classes: Number of classes; the first is "person".
        surface: CSE instead of masks.
        deeplab: CSE with atrous pooling.
    """

    depth: int
    resnext: bool = False
    classes: int = 80
    surface: bool = False
    deeplab: bool = False

    @property
    def pixel_std(self) -> tuple[float, float, float]:
        return (57.375, 57.12, 58.395) if self.resnext else (1.0, 1.0, 1.0)

    @classmethod
    def of(cls, parameters: Mapping[str, Tensor]) -> ZooConfig:
        """Read the configuration off the names and shapes.

        Raises:
            WeightsError: It is none that is known.
        """
        blocks = sum(f"backbone.bottom_up.res4.{i}.conv1.weight" in parameters for i in range(64))
        depth = {6: 50, 23: 101}.get(blocks)
        inner = parameters.get("backbone.bottom_up.res2.0.conv2.weight")
        scores = parameters.get("roi_heads.box_predictor.cls_score.weight")
        if depth is None or inner is None or scores is None:
            raise WeightsError(
                "the checkpoint is no Mask R-CNN or CSE with ResNet-50, ResNet-101 or ResNeXt-101 and FPN"
            )
        return cls(
            depth,
            resnext=inner.ndim == 4 and inner.shape[1] == 8,
            classes=scores.shape[0] - 1,
            surface=any(name.startswith("roi_heads.densepose_") for name in parameters),
            deeplab=any(".ASPP." in name for name in parameters),
        )


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a network says of one picture, in pixels of the resized picture.

    Attributes:
        boxes: [N, 4] xyxy float32.
        scores: [N] float32, descending.
        classes: [N] int64.
        masks: [N, 28, 28] in [0, 1], or None.
        embeddings: [N, 16, 112, 112] and
        segmentations: [N, 2, 112, 112] logits of background and body, or None.
    """

    boxes: Tensor = field(repr=False)
    scores: Tensor = field(repr=False)
    classes: Tensor = field(repr=False)
    masks: Tensor | None = field(default=None, repr=False)
    embeddings: Tensor | None = field(default=None, repr=False)
    segmentations: Tensor | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.boxes)


class RoiHeads(nn.Module):
    """What is predicted of each region."""

    def __init__(self, config: ZooConfig) -> None:
        super().__init__()
        self.box_head = BoxHead()
        self.box_predictor = BoxPredictor(config.classes)
        if config.surface:
            self.decoder = Decoder()
            self.densepose_head = SurfaceHead(deeplab=config.deeplab)
            self.densepose_predictor = SurfacePredictor()
            self.embedder = nn.ModuleDict({f"embedder_{SURFACE}": Embedder()})
        else:
            self.mask_head = MaskHead(config.classes)


class ZooNetwork(nn.Module):
    """Faster R-CNN with a pyramid and either masks or surface embeddings.

    Args:
        config: See `ZooConfig`.
        score: Boxes with a lower score are left out.
        detections: At most so many a picture.
    """

    pixel_mean: Tensor
    pixel_std: Tensor
    resizes = False
    """It takes pictures of the right size."""

    def __init__(self, config: ZooConfig, *, score: float = 0.5, detections: int = 100) -> None:
        super().__init__()
        self.config, self.score, self.detections = config, score, detections
        groups, width = (32, 256) if config.resnext else (1, 64)
        self.backbone = Pyramid(ResNet(config.depth, groups=groups, width=width, stride_first=not config.resnext))
        self.proposal_generator = ProposalGenerator()
        self.roi_heads = RoiHeads(config)
        mean, std = torch.tensor([103.53, 116.28, 123.675]), torch.tensor(config.pixel_std)
        self.register_buffer("pixel_mean", mean.view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", std.view(3, 1, 1), persistent=False)

    def fold(self) -> ZooNetwork:
        """Work the frozen normalizations into the convolutions, for speed."""
        for module in self.modules():
            if isinstance(module, NormedConv):
                module.fold()
        return self

    def lower(self, dtype: torch.dtype) -> ZooNetwork:
        """Compute in a lower precision; boxes, scores, vertices and what is handed out stay float32."""
        for module in (self.backbone, self.proposal_generator, *self.roi_heads.children()):
            if not isinstance(module, nn.ModuleDict):  # the vertices
                module.to(dtype)
        return self

    def vertices(self) -> Tensor:
        """Embeddings of the surface's vertices, [27554, 16] of length 1."""
        return self.roi_heads.embedder[f"embedder_{SURFACE}"]()  # type: ignore[no-any-return]

    def pad(self, images: Sequence[Tensor]) -> Tensor:
        """Normalized pictures [B, 3, H, W] of [3, h, w] BGR in [0, 255]; zeros to the right and below."""
        height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
        height, width = (-(-size // DIVISOR) * DIVISOR for size in (height, width))
        batch = self.pixel_mean.new_zeros((len(images), 3, height, width))
        for row, image in zip(batch, images, strict=True):
            row[:, : image.shape[1], : image.shape[2]] = (image - self.pixel_mean) / self.pixel_std
        return batch.contiguous(memory_format=torch.channels_last)

    def forward(self, images: Sequence[Tensor]) -> list[Predictions]:
        """Predictions of pictures [3, h, w] float BGR in [0, 255], already resized."""
        sizes = [(int(image.shape[1]), int(image.shape[2])) for image in images]
        maps = self.backbone(self.pad(images).to(next(self.backbone.parameters()).dtype))
        proposals = self.proposal_generator(maps, sizes)
        found = self._boxes(maps[:4], proposals, sizes)
        boxes = [box for box, _, _ in found]
        parts = self._surface(maps[:4], boxes) if self.config.surface else self._masks(maps[:4], found)
        counts = [len(box) for box in boxes]
        split = {name: torch.split(value, counts) for name, value in parts.items()}
        return [
            Predictions(*picture, **{name: values[i] for name, values in split.items()})
            for i, picture in enumerate(found)
        ]

    def _pool(self, maps: Sequence[Tensor], boxes: Sequence[Tensor], size: int) -> Tensor:
        surface = self.config.surface
        return pool(maps, boxes, size, sampling=2 if surface else 0, aligned=not surface)

    def _boxes(
        self, maps: Sequence[Tensor], proposals: Sequence[Tensor], sizes: Sequence[tuple[int, int]]
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Boxes, scores, classes of each picture."""
        heads = self.roi_heads
        scores, deltas = heads.box_predictor(heads.box_head(self._pool(maps, proposals, 7)))
        decoded = decode(torch.cat(list(proposals)), deltas, BOX_WEIGHTS)  # [R, classes, 4]
        counts = [len(p) for p in proposals]
        found = []
        for score, box, size in zip(torch.split(scores, counts), torch.split(decoded, counts), sizes, strict=True):
            rows, classes = (score[:, :-1] > self.score).nonzero(as_tuple=True)
            picked, sure = clip_boxes_to_image(box[rows, classes], size), score[rows, classes]
            keep = batched_nms(picked, sure, classes, BOX_NMS)[: self.detections]
            found.append((picked[keep], sure[keep], classes[keep]))
        return found

    def _masks(self, maps: Sequence[Tensor], found: Sequence[tuple[Tensor, Tensor, Tensor]]) -> dict[str, Tensor]:
        classes = torch.cat([picked for _, _, picked in found])
        if not len(classes):
            return {"masks": classes.new_zeros((0, 28, 28), dtype=torch.float32)}
        logits = self.roi_heads.mask_head(self._pool(maps, [box for box, _, _ in found], 14))
        return {"masks": logits[torch.arange(len(logits), device=logits.device), classes].float().sigmoid()}

    def _surface(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> dict[str, Tensor]:
        if not sum(map(len, boxes)):
            empty = boxes[0].new_zeros((0, 16, 112, 112))
            return {"embeddings": empty, "segmentations": empty[:, :2]}
        heads = self.roi_heads
        regions = self._pool([heads.decoder(maps)], boxes, 28)
        embeddings, segmentations = heads.densepose_predictor(heads.densepose_head(regions))
        return {"embeddings": embeddings, "segmentations": segmentations}


def build_network(parameters: Mapping[str, Tensor], source: object = "the checkpoint") -> ZooNetwork:
    """The network that a checkpoint is of, with its weights, ready for inference.

    Args:
        parameters: Of `read_model`.
        source: Where they come from, for errors.

    Raises:
        WeightsError: The layout is unknown, or names or shapes differ from it.
    """
    wanted = {n: v for n, v in parameters.items() if n not in IGNORED and ".cell_anchors." not in n}
    config = ZooConfig.of(wanted)
    with torch.device("meta"):
        network = ZooNetwork(config)
    load_strictly(network, wanted, source)
    network.pixel_mean = torch.tensor([103.53, 116.28, 123.675]).view(3, 1, 1)
    network.pixel_std = torch.tensor(config.pixel_std).view(3, 1, 1)
    return network.eval().requires_grad_(False)

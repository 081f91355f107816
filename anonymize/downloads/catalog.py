"""The files of others that the package can use, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass

from anonymize.core.errors import OptionError

DETECTRON2 = "https://dl.fbaipublicfiles.com/detectron2/COCO-InstanceSegmentation"
CSE = "https://dl.fbaipublicfiles.com/densepose/cse"
TORCHVISION = "https://download.pytorch.org/models"
DEEP_PRIVACY2 = "https://api.loke.aws.unit.no/dlr-gui-backend-resources-content/v2/contents/links"

CC_BY_SA = "CC BY-SA 3.0"
BSD = "BSD-3-Clause (torchvision)"
UNSTATED = "not stated for CSE; DensePose's other models: CC BY-SA 3.0"
FDH = "that of the FDH dataset (non-commercial research)"


@dataclass(frozen=True)
class WeightsFile:
    """One file.

    Attributes:
        name: What users call it.
        file: Its name in the cache and on mirrors.
        url: The publisher's address.
        licence: As the publisher states it.
        megabytes: About its size; None where nothing is known before it is there.
        checksum: "sha256:..." or "md5:..." and at least the first digits, as many as the publisher states; None where
            the publisher states none.
    """

    name: str
    file: str
    url: str
    licence: str
    megabytes: int | None = None
    checksum: str | None = None


def _detectron2(name: str, folder: str, file: str, megabytes: int | None) -> WeightsFile:
    return WeightsFile(name, file, f"{DETECTRON2}/{folder}/{file}", CC_BY_SA, megabytes)


def _cse(name: str, folder: str, file: str, megabytes: int | None = None, checksum: str | None = None) -> WeightsFile:
    return WeightsFile(name, file, f"{CSE}/{folder}/{file}", UNSTATED, megabytes, checksum)


CATALOG = {
    entry.name: entry
    for entry in (
        _detectron2("mask-rcnn-r50", "mask_rcnn_R_50_FPN_3x/137849600", "model_final_f10217.pkl", 178),
        _detectron2("mask-rcnn-r101", "mask_rcnn_R_101_FPN_3x/138205316", "model_final_a3ec72.pkl", 254),
        _detectron2("mask-rcnn-x101", "mask_rcnn_X_101_32x8d_FPN_3x/139653917", "model_final_2d9806.pkl", None),
        WeightsFile(
            "mask-rcnn-r50-v2",
            "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth",
            f"{TORCHVISION}/maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth",
            BSD,
            186,
            "sha256:73cbd019",
        ),
        _cse(
            "cse-r50",
            "densepose_rcnn_R_50_FPN_s1x/251155172",
            "model_final_c4ea5f.pkl",
            282,
            "sha256:11bcf80b892cffdb6285f2666ff7f891dcd7bf81c01dd515d18f0b650e749098",
        ),
        _cse("cse-r101", "densepose_rcnn_R_101_FPN_s1x/251155500", "model_final_5c995f.pkl"),
        _cse("cse-r101-dl", "densepose_rcnn_R_101_FPN_DL_soft_s1x/250713061", "model_final_1d3314.pkl"),
        WeightsFile(
            "deep-privacy2",
            "fdh_styleganL.ckpt",
            f"{DEEP_PRIVACY2}/21841da7-2546-4ce3-8460-909b3a63c58b13aac1a1-c778-4c8d-9b69-3e5ed2cde9de1524e76e-7aa6-4dd8-"
            "b643-52abc9f0792c",
            FDH,
            checksum="md5:3411478b5ec600a4219cccf4499732bd",
        ),
        WeightsFile(
            "deep-privacy2-nocse",
            "fdh_styleganL_nocse.ckpt",
            "https://folk.ntnu.no/haakohu/checkpoints/deep_privacy2/fdh_styleganL_nocse.ckpt",
            FDH,
            checksum="md5:fda0d809741bc67487abada793975c37",
        ),
    )
}
"""By name. The checksum of cse-r50 is that of a copy in a public repository; those of DeepPrivacy2 are its authors'.
torchvision's file names carry the first digits of theirs."""

ZOO = ("mask-rcnn-x101", "cse-r101-dl", "deep-privacy2")
"""What `--weights zoo` uses: the strongest, as in DeepPrivacy2."""


def find(names: list[str]) -> list[WeightsFile]:
    """The entries of some names; "zoo" stands for those of `--weights zoo`, "all" for all, none for all.

    Raises:
        OptionError: There is no such name.
    """
    wanted = [n for name in names or ["all"] for n in (ZOO if name == "zoo" else CATALOG if name == "all" else (name,))]
    unknown = [name for name in wanted if name not in CATALOG]
    if unknown:
        raise OptionError(f"no weights are called {', '.join(unknown)}; there are zoo, all, {', '.join(CATALOG)}")
    return [CATALOG[name] for name in dict.fromkeys(wanted)]

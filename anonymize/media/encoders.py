"""The encoders at choice: which samples they take and how quality and speed are said to them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import av

from anonymize.core.errors import MediaError
from anonymize.core.formats import check_encoding


@dataclass(frozen=True, slots=True)
class Encoder:
    """A video encoder of libav.

    Attributes:
        name: libav's name.
        options: Encoder options for a constant quality and a preset.
        even: A 4:2:0 picture must have an even width and height.
        depth_max: More bits per sample are never asked for.
    """

    name: str
    options: Callable[[int, str | None], dict[str, str]]
    even: bool = False
    depth_max: int = 16

    def pixel_format(self, source: str, size_hw: tuple[int, int]) -> tuple[str, list[str]]:
        """The format to store, and what is lost with it.

        4:2:0, because that is what players play: 4:2:2, 4:4:4 and RGB are reduced. The depth is kept as far as the
        encoder goes. H.264 and HEVC cannot hold an odd width or height in 4:2:0; such films become 4:4:4.

        Args:
            source: Pixel format of the source.
            size_hw: Height and width as stored.

        Returns:
            Name of a planar Y'CbCr format; warnings, one line each.
        """
        components = av.VideoFormat(source).components
        depth = max(component.bits for component in components)
        odd = self.even and any(side % 2 for side in size_hw)
        layout = "yuv444p" if odd else "yuv420p"
        depths = {8: layout, 10: f"{layout}10le", 12: f"{layout}12le"}
        chosen = self._depth(depth, depths)
        warnings = []
        if chosen < depth:
            warnings.append(f"{self.name} stores {chosen} bits per sample, the film has {depth}")
        if odd:
            warnings.append(
                f"{size_hw[1]}x{size_hw[0]} is odd, so {self.name} stores 4:4:4, which some players cannot show; "
                "libvpx-vp9 and libsvtav1 store 4:2:0"
            )
        if any(component.is_alpha for component in components):
            warnings.append("transparency is not kept")
        return depths[chosen], warnings

    def _depth(self, wanted: int, formats: dict[int, str]) -> int:
        """The fewest bits per sample that hold those of the source, or the most that the encoder takes.

        Args:
            wanted: Bits per sample of the source.
            formats: Pixel formats by their bits per sample, few bits first.
        """
        supported = {f.name for f in av.codec.Codec(self.name, "w").video_formats or ()}
        held = [bits for bits, name in formats.items() if name in supported and bits <= self.depth_max]
        return next((bits for bits in held if bits >= wanted), held[-1] if held else 8)


def _x264(crf: int, preset: str | None) -> dict[str, str]:
    import torch

    options = {"crf": str(crf), "preset": preset or "medium"}
    if torch.backends.cpu.get_cpu_capability() == "AVX512":
        # x264's macroblock tree reads uninitialized memory where it uses AVX-512, and encodes the same film otherwise
        # each time. With AVX2 it does not, and gives what older processors give.
        options["x264-params"] = "asm=avx2"
    return options


def _x265(crf: int, preset: str | None) -> dict[str, str]:
    return {"crf": str(crf), "preset": preset or "medium", "x265-params": "log-level=none"}


def _svt_av1(crf: int, preset: str | None) -> dict[str, str]:
    return {"crf": str(crf), "preset": preset or "8"}


def _vp9(crf: int, preset: str | None) -> dict[str, str]:
    return {"crf": str(crf), "b": "0", "row-mt": "1", "deadline": "good", "cpu-used": preset or "2"}


def _nvenc(crf: int, preset: str | None) -> dict[str, str]:
    return {"rc": "vbr", "cq": str(crf), "b": "0", "preset": preset or "p4"}


ENCODERS = {
    encoder.name: encoder
    for encoder in (
        Encoder("libx264", _x264, even=True),
        Encoder("libx265", _x265, even=True),
        Encoder("libsvtav1", _svt_av1),
        Encoder("libvpx-vp9", _vp9),
        Encoder("h264_nvenc", _nvenc, even=True, depth_max=8),
    )
}


def pick_encoder(name: str, crf: int, preset: str | None) -> Encoder:
    """Check the encoder's name and options.

    Raises:
        OptionError: One of them is not supported.
        MediaError: libav here was built without the encoder.
    """
    check_encoding(name, crf, preset)
    if name not in av.codec.codecs_available:
        raise MediaError(f"the installed PyAV has no encoder {name}")
    if name == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "1")  # It would print its settings; 1 leaves errors.
    return ENCODERS[name]

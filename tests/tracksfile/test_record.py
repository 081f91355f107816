import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anonymize import anonymize_video
from anonymize.core.errors import AnonymizeError
from anonymize.tracksfile import rle
from anonymize.tracksfile.quantize import pack_surface, quantize_surface, unpack_surface


@pytest.mark.parametrize("name", ["t.json", "t.json.gz", "t.txt", "t.coco.json"])
def test_each_format_beside_the_film(name: str, film: Path, tmp_path: Path, walkers: Any) -> None:
    if name == "t.coco.json":
        pytest.importorskip("pycocotools", reason="pycocotools is not installed")
    anonymize_video(film, tmp_path / "o.mp4", tracks=tmp_path / name, detector=walkers(), mode="blur", device="cpu")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["in.mp4", "o.mp4", name])
    if name == "t.txt":
        assert len((tmp_path / name).read_text().splitlines()) == 22
    if name == "t.coco.json":
        assert len(json.loads((tmp_path / name).read_text())["annotations"]) == 22
    if name == "t.json":
        content = json.loads((tmp_path / name).read_text())
        assert content["tracks"][0] == {
            "id": 1, "class": "person", "action": "blur", "first": 0, "last": 10, "frames": 11, "score": 0.9
        }  # fmt: skip
        size = content["film"]["size_hw"]
        mask = rle.decode(content["frames"][0]["people"][0]["mask"]["counts"], (size[0], size[1]))
        own = walkers.mask(0, 0).to_full((size[0], size[1]))
        assert (mask.to_full((size[0], size[1])) & own).sum() == own.sum()
        assert content["surface"] == {"name": "anny", "channels": 0, "size": 56}, (
            "what is covered, not what is generated"
        )


@pytest.mark.parametrize("name", ["t.xml", "o.mp4", "in.mp4", "no/t.json", "old.json"])
def test_names_that_are_refused_before_anything_is_done(name: str, film: Path, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("precious")
    with pytest.raises(AnonymizeError):
        anonymize_video(film, tmp_path / "o.mp4", tracks=tmp_path / name, mode="blur")
    assert (tmp_path / "old.json").read_text() == "precious"
    assert not (tmp_path / "o.mp4").exists()


class TestSurface:
    @pytest.mark.parametrize("size", [14, 56, 112])
    def test_both_ways(self, size: int) -> None:
        draw = torch.Generator().manual_seed(0)
        raw, body = torch.randn(2, 4, size, size, generator=draw), torch.rand(2, size, size, generator=draw)
        embeddings, segmentations = quantize_surface(raw, body)
        assert embeddings.shape[-1] == min(size, 56)
        for embedding, segmentation in zip(embeddings, segmentations, strict=True):
            back = unpack_surface(pack_surface(embedding, segmentation), 4, min(size, 56))
            assert torch.equal(back[0], embedding)
            assert torch.equal(back[1], segmentation)

    def test_directions_on_the_body_hardly_change(self) -> None:
        coarse = torch.randn(1, 16, 56, 56, generator=torch.Generator().manual_seed(0))
        smooth = torch.nn.functional.avg_pool2d(coarse, 7, 1, 3) * 5
        raw = torch.nn.functional.interpolate(smooth, scale_factor=2, mode="bilinear")
        quantized, _ = quantize_surface(raw, torch.ones(1, 112, 112))
        back = torch.nn.functional.interpolate(quantized, scale_factor=2, mode="bilinear")
        agree = torch.nn.functional.cosine_similarity(back, raw, dim=1)
        assert agree.quantile(0.05) > 0.99

    def test_away_from_the_body_nothing_is_kept(self) -> None:
        body = torch.zeros(1, 56, 56)
        body[:, 20:30, 20:30] = 1
        quantized, _ = quantize_surface(torch.ones(1, 4, 56, 56), body)
        assert quantized[:, :, 19:31, 19:31].min() == 127
        assert quantized.abs().sum() == 127 * 4 * 12 * 12

    @pytest.mark.parametrize("text", ["", "!", "QUJD", "eJwDAAAAAAE="])
    def test_damage(self, text: str) -> None:
        with pytest.raises(AnonymizeError, match="damaged"):
            unpack_surface(text, 4, 56)


def test_the_film_is_the_same_with_and_without(
    film: Path, tmp_path: Path, walkers: Any, read: Callable[..., Any]
) -> None:
    for name, tracks in (("a.mp4", None), ("b.mp4", tmp_path / "t.json")):
        anonymize_video(film, tmp_path / name, tracks=tracks, detector=walkers(), mode="blur", device="cpu")
    np.testing.assert_array_equal(read(tmp_path / "a.mp4"), read(tmp_path / "b.mp4"))

"""The same pictures give the same bytes, whatever the memory held before."""

import os
import subprocess
import sys

ENCODE = """
import hashlib, av, numpy as np
from anonymize.media.encoders import pick_encoder
encoder, digest = pick_encoder("libx264", 18, None), hashlib.sha256()
codec = av.CodecContext.create(encoder.name, "w")
codec.width, codec.height, codec.pix_fmt, codec.framerate = 320, 192, "yuv420p", 10
codec.options, codec.thread_type = encoder.options(18, None), "AUTO"
wall = np.random.default_rng(0).integers(60, 200, (24, 60, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
for number in range(14):
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(wall[:, 3 * number : 3 * number + 320]), "rgb24")
    picture = picture.reformat(format="yuv420p")
    picture.pts = number
    for packet in codec.encode(picture):
        digest.update(bytes(packet))
for packet in codec.encode(None):
    digest.update(bytes(packet))
print(digest.hexdigest())
"""


def test_what_memory_held_changes_nothing() -> None:
    results = set()
    for filling in ("0", "85", "170"):  # Of the C library, for memory that is handed out.
        environment = os.environ | {"MALLOC_PERTURB_": filling}
        command = [sys.executable, "-c", ENCODE]
        results.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(results) == 1
    assert len(results.pop()) == 65

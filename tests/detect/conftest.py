from pathlib import Path

import av
import numpy as np
import pytest


@pytest.fixture(scope="session")
def street() -> list[np.ndarray]:
    """Two frames of the bundled clip."""
    with av.open(Path(__file__).resolve().parents[2] / "examples" / "street.mp4") as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [frames[0], frames[-1]]

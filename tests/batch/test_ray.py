"""The engine ray on clusters of this machine."""

import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from anonymize.batch import BatchProgress, anonymize_folder
from anonymize.batch import cluster as engine
from anonymize.batch.job import Job
from anonymize.core.errors import WeightsError
from anonymize.options import DrawOptions, FolderOptions, Options, RenderOptions

ray = pytest.importorskip("ray", reason="Ray is not installed")

pytestmark = [
    pytest.mark.ray,
    # Ray leaves sockets and files to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

Tree = Callable[[Path], dict[str, bytes]]


@pytest.fixture(params=[2])
def cluster(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Two nodes with so many cores; the caller is connected to a third, on which no file can be done."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    cluster.add_node(num_cpus=request.param)
    cluster.add_node(num_cpus=request.param)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_two_nodes_and_one_of_them_lost(
    folder: Path, tmp_path: Path, doubles: ModuleType, tree: Tree, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    again: list[Job] = []
    retry = engine.retry
    monkeypatch.setattr(engine, "retry", lambda job: again.append(job) or retry(job))
    for number in range(8):
        shutil.copy(folder / "one.mp4", folder / f"{number}.mp4")
    anonymize_folder(folder, tmp_path / "local", build_detector=doubles.build_band, weights=[])
    lost = threading.Event()

    def lose(progress: BatchProgress) -> None:
        if not lost.is_set() and progress.files >= 2:
            lost.set()
            held = (tmp_path / "held").readlink().name
            (node,) = (node for node in cluster.worker_nodes if node.node_id == held)
            cluster.remove_node(node, allow_graceful=False)

    options: dict[str, Any] = {"folder": FolderOptions(engine="ray", ray_address=cluster.address), "weights": []}
    options |= {"build_detector": partial(doubles.build_held, tmp_path)}
    report = anonymize_folder(folder, tmp_path / "ray", progress=lose, **options)
    assert 1 <= len(again) <= 2, "the lost node had two files at hand at most"
    assert [outcome.note for outcome in report.outcomes if outcome.state != "done"] == []
    assert tree(tmp_path / "ray") == tree(tmp_path / "local")
    with pytest.raises(WeightsError, match="damaged"):
        anonymize_folder(folder, tmp_path / "none", **options | {"build_detector": doubles.build_nothing})


@pytest.mark.parametrize("cluster", [1], indirect=True)
def test_a_film_in_segments(
    film_with_keys: Callable[..., Path], tmp_path: Path, doubles: ModuleType, tree: Tree, cluster: Any
) -> None:
    """Two nodes share one film; then one of them is lost. The IDs are drawn, so the same bytes have the same tracks."""
    film_with_keys(tmp_path / "in" / "long.mp4", frames=40, keys=10, rate=2)
    settings = Options(draw=DrawOptions(mode="blur"), render=RenderOptions(overlay=True))
    logs = [tmp_path / "log", tmp_path / "log-of-one"]
    for log in logs:
        log.mkdir()
    anonymize_folder(tmp_path / "in", tmp_path / "local", settings, build_detector=doubles.build_band, weights=[])
    options: dict[str, Any] = {
        "options": settings,
        "folder": FolderOptions(engine="ray", ray_address=cluster.address),
        "weights": [],
    }
    anonymize_folder(
        tmp_path / "in", tmp_path / "both", build_detector=partial(doubles.build_logged, logs[0]), **options
    )
    assert tree(tmp_path / "both") == tree(tmp_path / "local")
    looked = {path.name: len(path.read_text().splitlines()) for path in logs[0].iterdir()}
    assert sum(looked.values()) == 40, "each frame was looked at once"
    assert len({name.split("-")[1] for name in looked}) == 2, "by both nodes"

    lost = threading.Event()

    def lose(progress: BatchProgress) -> None:
        if not lost.is_set() and progress.frames >= 3:
            lost.set()
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

    options |= {"build_detector": partial(doubles.build_logged, logs[1]), "progress": lose}
    report = anonymize_folder(tmp_path / "in", tmp_path / "one", **options)
    assert lost.is_set()
    assert [(outcome.state, outcome.note) for outcome in report.outcomes] == [("done", "")]
    assert tree(tmp_path / "one") == tree(tmp_path / "local")

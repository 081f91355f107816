"""Networks as graphs of ONNX Runtime, which runs them on processors in a third to a quarter of torch's time.

`weights/NAME.onnx` is the structure of a network, without parameters; those come from the weights file when the graph
is loaded. So weights of the same shapes need no new graph and no number is stored twice. Only `anonymize train export`,
which makes the graphs, needs an exporter; every user would, if graphs were made on their machines.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anonymize.core.device import cpu_info, cpu_name
from anonymize.core.errors import WeightsError
from anonymize.core.resources import weights_path

Array = npt.NDArray[Any]
_log = logging.getLogger(__name__)
PARAMETERS = "parameters"
"""Where a graph says that its parameters are, for want of a file."""


class Graph:
    """A network that is ready to run, in float32.

    It uses as many threads as torch does. They do not spin while they wait: decoding and encoding want the cores.

    Args:
        name: File of the graph in `weights/`, such as "detector-cells.onnx".
        parameters: Those that the graph has, by name.

    Raises:
        WeightsError: The graph is missing, or the parameters do not fit it.
    """

    def __init__(self, name: str, parameters: Mapping[str, Tensor]) -> None:
        import onnxruntime  # here, as it takes a part of a second

        path = weights_path(name)
        values = {key: value.detach().float().cpu().contiguous().numpy() for key, value in parameters.items()}
        options: Any = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        options.intra_op_num_threads = torch.get_num_threads()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_mem_pattern = False  # a plan of the memory for each size of the input
        self._values = [onnxruntime.OrtValue.ortvalue_from_numpy(value) for value in values.values()]
        options.add_external_initializers(list(values), self._values)
        try:
            self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no class of their own
            raise WeightsError(f"the weights do not fit {path}: {' '.join(str(error).split())}") from error
        _log.debug(
            "%s: ONNX Runtime %s, float32, %d threads, %s",
            Path(name).stem,
            onnxruntime.__version__,
            options.intra_op_num_threads,
            cpu_name(cpu_info()),
        )
        self._pool = ThreadPoolExecutor(options.intra_op_num_threads, "graph")
        self._inputs = {value.name for value in self._session.get_inputs()}

    def __call__(self, **inputs: Tensor) -> list[Tensor]:
        """Run the network.

        Args:
            inputs: By name, on the CPU, in any layout; those that the network does not look at are left out.

        Returns:
            What it gives, in the order of its outputs.
        """
        return [torch.from_numpy(value) for value in self._run(self._arrays(inputs))]

    def rows(self, **inputs: Tensor) -> list[Tensor]:
        """Run the network on each row of a batch by itself, on as many at once as there are threads.

        A thread that has a row of its own waits less for others than one that has a share of each layer: on two cores
        a row takes a quarter less time.

        Args:
            inputs: See `__call__`; [B, ...] each, B at least 1.

        Returns:
            What it gives for all rows, [B, ...] each.
        """
        arrays = self._arrays(inputs)
        each = [
            {name: value[row : row + 1] for name, value in arrays.items()}
            for row in range(len(next(iter(arrays.values()))))
        ]
        found = list(self._pool.map(self._run, each)) if len(each) > 1 else [self._run(each[0])]
        return [torch.from_numpy(np.concatenate(values)) for values in zip(*found, strict=True)]

    def _arrays(self, inputs: Mapping[str, Tensor]) -> dict[str, Array]:
        return {name: np.ascontiguousarray(value.numpy()) for name, value in inputs.items() if name in self._inputs}

    def _run(self, inputs: Mapping[str, Array]) -> list[Array]:
        outputs: list[Array] = self._session.run(None, inputs)
        return outputs

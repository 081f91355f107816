"""Reads Detectron2's `.pkl` checkpoints without trusting them."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anonymize.core.errors import WeightsError


def _encode(text: str, encoding: str) -> bytes:
    """What `_codecs.encode` does for bytes in old protocols; its other codecs are not needed."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r} is not allowed")
    return text.encode("latin1")


def _allowed() -> dict[tuple[str, str], Callable[..., Any]]:
    reconstruct: Any = np.zeros(0).__reduce__()[0]
    scalar: Any = np.float32(0).__reduce__()[0]
    frombuffer: Any = np.zeros(0).__reduce_ex__(5)[0]
    table: dict[tuple[str, str], Callable[..., Any]] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("_codecs", "encode"): _encode,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }
    for core in ("numpy.core", "numpy._core"):  # numpy 1 and 2
        table[f"{core}.multiarray", "_reconstruct"] = reconstruct
        table[f"{core}.multiarray", "scalar"] = scalar
        table[f"{core}.numeric", "_frombuffer"] = frombuffer
    return table


class _Unpickler(pickle.Unpickler):
    """Knows numpy arrays and plain containers, nothing else."""

    allowed = _allowed()

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.allowed[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it wants to call {module}.{name}") from None


def read_pickle(path: Path) -> Any:
    """Read a pickle that may hold numpy arrays, numbers, strings and plain containers only.

    Anything else is refused before it is called.

    Args:
        path: The file; strings of Python 2 are read as latin1.

    Raises:
        WeightsError: The file is missing, damaged or holds something else.
    """
    try:
        with path.open("rb") as file:
            return _Unpickler(file, encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{path} is refused: it is damaged or unsafe to read ({_line(error)})") from error
    except OSError as error:
        raise WeightsError(f"cannot read the weights {path}: {error.strerror}") from error
    except (EOFError, ValueError, TypeError, AttributeError, IndexError, KeyError, OverflowError, MemoryError) as error:
        raise WeightsError(f"{path} is damaged or cut off ({_line(error)})") from error


def read_model(path: Path) -> dict[str, Tensor]:
    """The parameters of a model-zoo file, `{"model": {name: array}}`, by name, float32.

    Raises:
        WeightsError: The file cannot be read or has another layout.
    """
    content = read_pickle(path)
    model = content.get("model") if isinstance(content, Mapping) else None
    if not isinstance(model, Mapping) or not model:
        raise WeightsError(f"{path} is no checkpoint of Detectron2: it has no 'model'")
    parameters = {}
    for name, value in model.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
            raise WeightsError(f"{path} is no checkpoint of Detectron2: {name!r} is no array of numbers")
        parameters[name] = torch.from_numpy(np.array(value, np.float32))
    return parameters


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__

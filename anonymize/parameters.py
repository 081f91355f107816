"""Parameters of other people's networks, given to our own modules."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from anonymize.errors import WeightsError


def load_strictly(module: nn.Module, parameters: Mapping[str, Tensor], source: object) -> None:
    """Give a module its parameters and buffers.

    Args:
        module: The network.
        parameters: By name; all of the module's and no other.
        source: Where they come from, for the error.

    Raises:
        WeightsError: Names or shapes differ; all that differ are listed.
    """
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in parameters.items()}
    problems = [f"{name} {shape} is missing" for name, shape in expected.items() if name not in given]
    problems += [f"{name} {shape} is unknown" for name, shape in given.items() if name not in expected]
    problems += [
        f"{name} is {given[name]} instead of {shape}"
        for name, shape in expected.items()
        if name in given and given[name] != shape
    ]
    if problems:
        raise WeightsError(f"{source} does not fit {type(module).__name__}: {'; '.join(problems)}")
    module.load_state_dict(parameters, assign=True)

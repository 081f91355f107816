"""Commands take the option classes; the command line takes their fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import wraps
from typing import Annotated, Any, get_args, get_origin

import typer

from anonymize.options import Option, options_of

Command = Callable[..., None]


def spread(*, brief: bool = False) -> Callable[[Command], Command]:
    """Give a command an option of its own for each option of the classes among its parameters.

    Typer reads the signature of what is returned; called, that makes the classes and calls the command, whose
    parameters of the classes of `anonymize.options` must be keywords.

    Args:
        brief: Explain options by their shorter line, where they have one.
    """

    def spread_command(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        groups = {name: each.annotation for name, each in signature.parameters.items() if _is_group(each.annotation)}
        parameters: list[inspect.Parameter] = []
        for name, parameter in signature.parameters.items():
            if name in groups:
                parameters += [_parameter(option, brief) for option in options_of(groups[name])]
            else:
                parameters.append(parameter)

        @wraps(command)
        def call(**given: Any) -> None:
            for name, group in groups.items():
                given[name] = group(**{each.name: _value(each, given.pop(each.name)) for each in options_of(group)})
            command(**given)

        call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {each.name: each.annotation for each in parameters}
        return call

    return spread_command


def _is_group(annotation: Any) -> bool:
    return isinstance(annotation, type) and is_dataclass(annotation)


def _parameter(option: Option, brief: bool) -> inspect.Parameter:
    """An option as Typer understands it."""
    flag = option.flag
    info = typer.Option(
        *(flag.names or (f"--{option.name.replace('_', '-')}",)),
        help=flag.brief if brief and flag.brief else flag.help,
        metavar=flag.metavar,
        min=flag.least,
        max=flag.most,
    )
    kind, default = option.type, option.default
    if _is_repeated(option):  # Typer knows lists, and none of them as None.
        kind, default = list[get_args(kind)[0]] | None, None  # type: ignore[misc]
    return inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
    )


def _value(option: Option, value: Any) -> Any:
    return tuple(value or ()) if _is_repeated(option) else value


def _is_repeated(option: Option) -> bool:
    return get_origin(option.type) is tuple

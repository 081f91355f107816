"""The program: the plain command and the sub-commands under one name."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from anonymize.cli.common import EXIT_TERMINATED, errors_as_one_line, unexpected_errors_as_one_line
from anonymize.cli.plain import plain
from anonymize.core.errors import BackendError

SUBCOMMANDS = {
    "detect": ("anonymize.cli.detect", "Write who is where in a film into a file that can be edited."),
    "render": ("anonymize.cli.render", "Draw a film from such a file."),
    "review": ("anonymize.cli.review", "Correct such a file on a page in the browser."),
    "train": ("anonymize.lab.train_cli", "Train the embedded weights (extra `train`)."),
    "dataset": ("anonymize.lab.train.dataset_cli", "Make the generator's dataset (extra `train`)."),
    "weights": ("anonymize.cli.weights", "Fetch and check the weights of others."),
    "evaluate": ("anonymize.lab.evaluate.cli", "Measure weights and results (extra `eval`)."),
    "verify": ("anonymize.cli.verify", "Look for people who are still visible in an anonymized film."),
}
"""Name of each sub-command: the module whose `app` it is, and a line of help. Loaded when it is called."""


class Program(TyperGroup):
    """`anonymize INPUT ...` and `anonymize SUBCOMMAND ...` in one program.

    The first argument decides: a sub-command's name calls it, all else goes to the plain command. A file of such a name
    is reached as `./train`.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in SUBCOMMANDS:
            args = [_PLAIN, *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        return [*SUBCOMMANDS, _PLAIN]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in SUBCOMMANDS:
            return super().get_command(ctx, cmd_name)
        try:
            module = import_module(SUBCOMMANDS[cmd_name][0])
        except ImportError as error:
            raise BackendError(f"`anonymize {cmd_name}` needs a package that is not installed: {error}") from error
        module.app.rich_markup_mode = None  # Plain text throughout.
        return typer.main.get_command(module.app)  # A group, or a lone command.

    def invoke(self, ctx: Any) -> Any:
        with errors_as_one_line():
            return super().invoke(ctx)


class PlainCommand(TyperCommand):
    """The command without a name of its own."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        # Under the program's own name, so that usage reads `anonymize [OPTIONS] INPUT`.
        return super().make_context(parent.info_name, args, parent=None, **extra)

    def invoke(self, ctx: Any) -> Any:
        with unexpected_errors_as_one_line():
            return super().invoke(ctx)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Other commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in SUBCOMMANDS.items()])


_PLAIN = "INPUT"

app = typer.Typer(cls=Program, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


@app.callback()
def _program() -> None:
    """Cover the people in films and pictures."""


app.command(_PLAIN, cls=PlainCommand, no_args_is_help=True)(plain)


def main() -> None:
    """Run the program; an interrupt or SIGTERM ends it with no file left."""
    # torch's threads spin after each small operation otherwise, on the cores that the other stages wait for
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    app(prog_name="anonymize")

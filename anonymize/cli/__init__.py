"""The command line: parse, call, print."""

from anonymize.cli.program import SUBCOMMANDS, app, main

__all__ = ["SUBCOMMANDS", "app", "main"]

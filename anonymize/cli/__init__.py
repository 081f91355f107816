"""The command line: parse, call, print."""

from anonymize.cli.plain import SUBCOMMANDS, app, main

__all__ = ["SUBCOMMANDS", "app", "main"]

"""How the commands of `edged` are declared, and what their exit statuses mean."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no public name
Command: TypeAlias = Callable[[argparse.Namespace], int]

FAILED = 1
WRONG_INPUT = 2


def add_command(
    commands: Commands, name: str, summary: str, example: str, command: Command | None
) -> argparse.ArgumentParser:
    """A command with its help; without a function it has commands of its own."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if command is not None:
        parser.set_defaults(command=command)
    return parser

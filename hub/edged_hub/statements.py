"""SQL in files: `-- name: x` starts the statement x."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

STATEMENT_HEAD = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def statements(*names: str) -> Mapping[str, str]:
    """The statements of these files in `sql/`, by name."""
    found: dict[str, str] = {}
    for name in names:
        parts = STATEMENT_HEAD.split(sql_file(name))[1:]
        found |= dict(zip(parts[::2], parts[1::2], strict=True))
    return found


def sql_file(name: str) -> str:
    """The whole text of a file in `sql/`."""
    return (files("edged_hub") / "sql" / name).read_text(encoding="utf-8")

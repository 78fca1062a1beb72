"""Every benchmark, one after the other, each short: about seventeen minutes in all."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from typing import NamedTuple


class Run(NamedTuple):
    """One command: its name, the module behind it and its arguments."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        return " ".join(("python -m bench", self.name, *self.arguments))


INGEST = ("--rows", "100000", "--rounds", "2")
RUNS = (
    Run("throughput", "bench.throughput", ("--seconds", "6")),
    Run("latency", "bench.latency", ("--seconds", "10")),
    Run("startup", "bench.startup", ("--starts", "3")),
    Run("memory", "bench.memory", ("--warm-up-seconds", "20", "--window-seconds", "6")),
    Run("hub-ingest", "bench.ingest", ("--store", "sqlite", *INGEST)),
    Run("hub-ingest", "bench.ingest", ("--store", "postgres", *INGEST)),
    Run("query", "bench.query", ("--signals", "10", "30")),
    Run("soak", "bench.soak"),
    Run("gate", "bench.gate"),
)


def main(arguments: Sequence[str]) -> int:
    """Exit status 1 when any bar is missed."""
    argparse.ArgumentParser(prog="python -m bench all", description=__doc__).parse_args(arguments)
    status = 0
    for run in RUNS:
        found: int = importlib.import_module(run.module).main(list(run.arguments))
        status = max(status, found)
    return status

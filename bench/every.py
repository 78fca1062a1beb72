"""Every benchmark, one after the other: about twenty minutes in all.

With --short about three, at one size each: windows of a few seconds are told and not judged. The gate judges.
"""

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


INGEST = ("--rows", "300000", "--rounds", "3")
RUNS = (
    Run("throughput", "bench.throughput", ("--seconds", "6")),
    Run("parts", "bench.parts", ("--seconds", "8")),
    Run("latency", "bench.latency", ("--seconds", "10")),
    Run("startup", "bench.startup", ("--starts", "3")),
    Run("memory", "bench.memory", ("--warm-up-seconds", "20", "--window-seconds", "6")),
    Run("hub-ingest", "bench.ingest", ("--store", "sqlite", *INGEST)),
    Run("hub-ingest", "bench.ingest", ("--store", "postgres", *INGEST)),
    Run("query", "bench.query", ("--signals", "10", "30")),
    Run("soak", "bench.soak"),
    Run("gate", "bench.gate"),
)
PROOF = Run("gate", "bench.gate", ("--prove", "20"))
"""That the gate can be believed: a quarter of an hour, for the page alone."""
SHORT_RUNS = (
    Run("throughput", "bench.throughput", ("--signals", "300", "--period-seconds", "0.1", "--seconds", "4")),
    Run("latency", "bench.latency", ("--signals", "1000", "--seconds", "4")),
    Run("startup", "bench.startup", ("--signals", "1000", "--starts", "1")),
    Run("hub-ingest", "bench.ingest", ("--store", "sqlite", "--rows", "20000", "--rounds", "1", "--signals", "1000")),
    Run("hub-ingest", "bench.ingest", ("--store", "postgres", "--rows", "20000", "--rounds", "1", "--signals", "1000")),
    Run("query", "bench.query", ("--store", "sqlite", "--signals", "5", "--asks", "20")),
)
"""What is run for every change."""


def main(arguments: Sequence[str]) -> int:
    """Exit status 1 when a bar that is judged is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench all", description=__doc__)
    parser.add_argument("--short", action="store_true", help="one size each, for a first look and for CI")
    options = parser.parse_args(arguments)
    status = 0
    for run in SHORT_RUNS if options.short else RUNS:
        found: int = importlib.import_module(run.module).main(list(run.arguments))
        status = max(status, 0 if options.short else found)
    return status

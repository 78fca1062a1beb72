"""Every benchmark, one after the other."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from bench import memory, throughput


def main(arguments: Sequence[str]) -> int:
    """Runs them with their defaults; exit status 1 when any bar is missed."""
    argparse.ArgumentParser(prog="python -m bench all", description=__doc__).parse_args(arguments)
    return max(throughput.main([]), memory.main([]))

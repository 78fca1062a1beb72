"""Replays the control of a demo from its flight recorder: every decision must come out as it was."""

from __future__ import annotations

import json
import os
import subprocess

from bench.line import LineStack
from bench.processes import PROJECT, StackFailed, program
from bench.report import Bar

CONFIG = PROJECT / "configs" / "line-a.yaml"


def replay_bars(stack: LineStack, seconds: float) -> list[Bar]:
    """Of the last seconds of a stack whose daemon has ended. Raises StackFailed when nothing can be replayed."""
    command = [program("edged"), "replay", str(CONFIG), "--last", f"{seconds:.0f}", "--json"]
    environment = {**os.environ, **stack.environment()}
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if not answer.stdout.startswith("{"):
        raise StackFailed(f"edged replay ended with {answer.returncode}:\n{answer.stdout}{answer.stderr}")
    told = json.loads(answer.stdout)
    return [
        Bar("decisions replayed from the flight recorder", told["decisions"], 1, "at_least"),
        Bar("decisions that came out differently", len(told["differences"]), 0),
        Bar("holes in the flight recorder", len(told["missing"]), 0),
    ]

"""The process of `pcgym_child`: its environment, made when asked for, and its plant as this side sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from bench.contestant import INSTALLED, MANIFESTS, PeerMissing, install
from bench.processes import PROJECT

FOLDER = INSTALLED / "pcgym"
REQUIREMENTS = MANIFESTS / "pcgym" / "requirements.txt"
PYTHON = FOLDER / "venv" / "bin" / "python"
CHILD = PROJECT / "bench" / "pcgym_child.py"
STOP_SECONDS = 15.0


class Task(NamedTuple):
    """What is asked of a controller: minutes, kelvin and mol/l. `start` is concentration and temperature."""

    set_points: tuple[float, ...]
    period_minutes: float = 26.0 / 60.0
    coolant: tuple[float, float] = (295.0, 302.0)
    start: tuple[float, float] = (0.8, 330.0)


class Course(NamedTuple):
    """Concentrations after each step, and the coolant during it."""

    concentrations: tuple[float, ...]
    coolant: tuple[float, ...]


def prepare() -> None:
    """Installs pc-gym 0.1.8 where it is not there yet. Raises PeerMissing.

    pc-gym asks for `do-mpc[full]`; the list leaves out what that brings and nothing here uses (torch, onnx, asyncua).
    """
    done = FOLDER / "requirements.txt"
    if done.exists() and done.read_bytes() == REQUIREMENTS.read_bytes():
        return
    pip = ["venv/bin/pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", str(REQUIREMENTS)]
    install("pc-gym", [sys.executable, "-m", "venv", "venv"], FOLDER)
    install("pc-gym", pip, FOLDER)
    done.write_bytes(REQUIREMENTS.read_bytes())


class Plant(Protocol):
    """A reactor in steps of one period."""

    def reset(self, task: Task) -> float:
        """The concentration at the start."""
        ...

    def step(self, coolant: float) -> float:
        """The concentration one period later."""
        ...


class ReferencePlant:
    """The process while it runs. Raises PeerMissing when it ends before its time."""

    def __init__(self, python: Path = PYTHON, folder: Path = FOLDER) -> None:
        self._python = python
        self._log = folder / "child.log"

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._child = subprocess.Popen(
                [str(self._python), str(CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        self._child.stdout.close()
        try:
            self._child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def oracle(self, task: Task) -> Course:
        """What the reference controller does; it knows the whole state and the plant itself."""
        told = self._asked(ask="oracle", task=task._asdict())
        return Course(tuple(told["concentrations"]), tuple(told["coolant"]))

    def reset(self, task: Task) -> float:
        """The concentration at the start."""
        return float(self._asked(ask="reset", task=task._asdict())["concentration"])

    def step(self, coolant: float) -> float:
        """The concentration one period later."""
        return float(self._asked(ask="step", coolant=coolant)["concentration"])

    def _asked(self, **request: object) -> dict[str, Any]:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            print(json.dumps(request), file=self._child.stdin, flush=True)
            line = self._child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            end = "\n".join(self._log.read_text(errors="replace").splitlines()[-8:])
            raise PeerMissing(f"pc-gym ended:\n{end}")
        told: dict[str, Any] = json.loads(line)
        return told

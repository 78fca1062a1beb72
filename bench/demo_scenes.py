"""Three scenes of control on the running line: a solver is killed, a move waits for approval, an operator takes over.

Each step waits for what it needs and not for a time, so that a slow machine plays the same.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from math import copysign
from subprocess import TimeoutExpired
from threading import Event, Thread
from typing import Any

from bench.demo_people import ENGINEER, OPERATOR, People, turn_the_belt
from bench.demo_story import LOOP, THRESHOLD, Moment, Story
from bench.line import LineStack
from bench.processes import PROJECT, StackFailed

SHORTEST_SECONDS = 50.0
"""A demo that ends sooner has no time for them."""
CEILING = PROJECT / "configs" / "ceiling-demo.yaml"
POLL_SECONDS = 0.1
PATIENCE_SECONDS = 90.0
"""For each step; the belt needs 15 s for 5 m/min."""
SHOWN_SECONDS = 4.0
"""So long nothing is done about a loop that waits or has yielded, to let it be seen."""
INTO_THE_PAUSE = 0.3
"""Seconds: the solver is not back before the next cycle asks for it."""
WRITES_AGAIN = 3
ON_THE_MOVE = 1.0
"""m/min: the belt is on its way to somewhere else."""
APPROVED_MOVE = 15.0
"""m/min: what ten percent more glass are worth."""
OPERATOR_MOVE = 4.0
"""m/min."""
HEARTBEAT_WRITE = b'"write":"line_a/forming/heartbeat"'
"""How the plant journals it: control has ended a cycle."""

LoopStatus = dict[str, Any]


class Scenes:
    """Plays them once, beside the table, in a thread of its own."""

    def __init__(self, stack: LineStack) -> None:
        self._stack = stack
        self._people = People(stack)
        self._stopping = Event()
        self._thread = Thread(target=self._play, name="scenes")
        self.story = Story(began=0)
        self.lines: list[str] = []
        """What was told, for the table."""
        self.stopped = False
        """They were broken off from outside."""

    def prepare(self) -> None:
        """Before the daemon starts: its ceiling, and who may give it orders."""
        self._stack.use_ceiling(CEILING)
        self._people.hire()

    def start(self) -> None:
        """The line runs; the scenes' time counts from here."""
        self.story.began = time.time_ns()
        self._thread.start()

    @property
    def playing(self) -> bool:
        """Whether they go on; each step that fails or takes too long ends them."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Breaks them off where they are."""
        self._stopping.set()
        self._thread.join()

    def _play(self) -> None:
        try:
            self._solver_is_killed()
            self._move_waits_for_an_engineer()
            self._operator_takes_over()
        except (StackFailed, OSError, TimeoutExpired) as fault:
            self._tell(f"the scenes end: {fault}")
        except _BrokenOffError:
            self.stopped = True

    def _solver_is_killed(self) -> None:
        self._until("the MPC to move the belt", lambda loop: loop["controller"] == "mpc" and _moved(loop) > ON_THE_MOVE)
        self._await_end_of_cycle()
        self._pause(INTO_THE_PAUSE)
        pid = self._stack.solver_pid()
        self._mark(Moment.KILLED)
        os.kill(pid, signal.SIGKILL)
        self._tell(f"the MPC moves the belt. Its solver, process {pid}, is killed (SIGKILL)")
        loop = self._until("the PID to take over", lambda loop: loop["controller"] == "pid")
        self._tell(f"the PID moves the belt ({loop['rung_reason']})")
        self._until("the MPC to return", lambda loop: loop["controller"] == "mpc")
        self._mark(Moment.RETURNED)
        self._tell("the MPC has followed the plant for a while and leads again")

    def _move_waits_for_an_engineer(self) -> None:
        loop = self._until("a move beyond the approval threshold", lambda loop: loop["waiting"] is not None)
        waiting, baseline = loop["waiting"], loop["baseline"]
        self._mark(Moment.WAITS)
        self._tell(f"{waiting['who']} waits: {waiting['reason']}")
        self._pause()
        target = round(baseline + copysign(APPROVED_MOVE, waiting["value"] - baseline), 1)
        self._mark(Moment.APPROVED)
        self._people.approve(LOOP, target)
        self._tell(f"{ENGINEER} signs: edged control approve {LOOP} --key {ENGINEER}.key --value {target:g}")
        beyond = THRESHOLD + ON_THE_MOVE
        loop = self._until("the belt to go on", lambda loop: abs(loop["readback"] - baseline) > beyond)
        self._tell(f"the belt goes on: {loop['readback']:.1f} m/min")

    def _operator_takes_over(self) -> None:
        self._await_end_of_cycle()
        loop = self._until("the belt's speed", lambda loop: loop["readback"] is not None)
        self.story.operator_speed = speed = round(loop["readback"] + OPERATOR_MOVE, 1)
        self._mark(Moment.TURNED)
        turn_the_belt(self._stack.modbus_port, speed)
        self._tell(f"an operator at the plant sets the belt to {speed:g} m/min, past edged")
        loop = self._until("edged to yield", lambda loop: loop["actual_mode"] == "local-override")
        writes = loop["verified_writes"]
        self._tell(f"edged yields: {loop['reason']}")
        self._pause()
        self._mark(Moment.GIVEN_BACK)
        self._people.give_back(LOOP, "the belt is clean again")
        self._tell(f"{OPERATOR} gives it back: edged control override {LOOP}")
        self._until("edged to write again", lambda loop: loop["verified_writes"] >= writes + WRITES_AGAIN)
        self._tell("edged controls again")

    def _until(self, what: str, true: Callable[[LoopStatus], bool]) -> LoopStatus:
        """The loop as soon as it satisfies a condition. Raises StackFailed when that takes too long."""
        found: list[LoopStatus] = []

        def satisfied() -> bool:
            status = self._stack.status()
            found[:] = [loop for loop in (status or {}).get("loops", ()) if loop["name"] == LOOP and true(loop)]
            return bool(found)

        self._wait(what, satisfied)
        return found[0]

    def _await_end_of_cycle(self) -> None:
        """What is done now falls between two cycles of control: nothing of it is under way."""
        with (self._stack.journal / "modbus.jsonl").open("rb") as journal:
            journal.seek(0, os.SEEK_END)
            self._wait("a heartbeat of control at the plant", lambda: HEARTBEAT_WRITE in journal.read())

    def _wait(self, what: str, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not true():
            if time.monotonic() > deadline:
                raise StackFailed(f"{what} did not come within {PATIENCE_SECONDS:g} s")
            self._pause(POLL_SECONDS)

    def _pause(self, seconds: float = SHOWN_SECONDS) -> None:
        if self._stopping.wait(seconds):
            raise _BrokenOffError

    def _mark(self, moment: Moment) -> None:
        self.story.moments[moment] = time.time_ns()

    def _tell(self, sentence: str) -> None:
        """On a terminal the table shows it."""
        line = f"{(time.time_ns() - self.story.began) / 1e9:4.0f} s: {sentence}"
        self.lines.append(line)
        if not sys.stdout.isatty():
            print(f"demo: {line}", flush=True)


class _BrokenOffError(Exception):
    """Somebody stopped the demo."""


def _moved(loop: LoopStatus) -> float:
    """How far the belt is from what was approved, m/min; 0 while that is not known."""
    readback, baseline = loop["readback"], loop["baseline"]
    return 0.0 if readback is None or baseline is None else abs(readback - baseline)

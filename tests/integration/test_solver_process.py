"""The process of a solver: killed, stopped, slow or garbled, it costs an answer, never time, and comes back."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edged.clock import SystemClock
from edged.supervise import start_task
from edged_control.mpc.settings import proposed
from edged_control.process_model.linear import Artefact, Channel, Port, ProcessModel, encoded
from edged_control.process_model.state_space import discretise
from edged_control.solver.messages import LONGEST_DEADLINE_SECONDS, Answer, InputRange, Question, Setup, framed
from edged_control.solver.process import COMMAND, SolverProcess

BELT, THICKNESS = Port("line_a/forming/belt_speed_setpoint", "m/min"), Port("line_a/forming/thickness", "mm")
MODEL = ProcessModel((BELT,), (THICKNESS,), ((Channel(-0.027, 7.0, 1.0, 0.8),),))
ARTEFACT = Artefact(MODEL, 1.0, (95.0,), (93.0,), (0.01,), "step test", "0" * 64)
SETTINGS = proposed(MODEL, Path("belt.json"), [1.0], 1.0)
SETUP = Setup(
    artefact=encoded(ARTEFACT),
    settings=SETTINGS,
    limits=(InputRange(low=50.0, high=200.0, rate_per_second=1 / 3),),
    period_seconds=60.0,
)
PATIENCE_SECONDS = 30.0
READY = f"import sys; from edged_control.solver.messages import *; hash = {ARTEFACT.hash!r}; out = sys.stdout.buffer; "
FRAME = "out.write(framed(Ready(model_hash=hash))); out.flush(); sys.stdin.buffer.read(1); "
"""What a process does that sets itself up rightly, and then waits for the first byte of anything."""


def question(number: int) -> Question:
    return Question(
        number=number, set_points=(4.0,), outputs=(4.2,), applied=(150.0,), seconds=60.0 * (number > 1), fresh=True
    )


def script(code: str) -> Sequence[str]:
    return (sys.executable, "-c", code)


@asynccontextmanager
async def solver(command: Sequence[str] = COMMAND, setup: Setup = SETUP) -> AsyncIterator[SolverProcess]:
    process = SolverProcess("thickness", setup, ARTEFACT.hash, SystemClock(), command)
    task = start_task("solver", process.run())
    try:
        yield process
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():
            await asyncio.sleep(0.01)


async def ready(process: SolverProcess) -> int:
    await until(lambda: process.pid is not None)
    assert process.pid is not None
    return process.pid


async def fault_of(process: SolverProcess, words: str) -> Answer:
    """Asks until the fault is the one that is waited for."""
    number = 1000
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            number += 1
            answer = await process.ask(question(number))
            assert answer.inputs == ()
            if words in answer.fault:
                return answer
            await asyncio.sleep(0.01)


async def test_it_answers_like_the_controller_in_this_process() -> None:
    from edged_control.solver.workbench import Workbench

    bench = Workbench(SETUP)
    async with solver() as process:
        assert "solver" in (await process.ask(question(1))).fault
        await ready(process)
        for number in range(1, 6):
            answer, expected = await process.ask(question(number)), bench.answer(question(number))
            assert answer.inputs == expected.inputs
            assert answer.errors == expected.errors
            assert answer.fault == ""


async def test_as_many_models_as_an_input_may_have_are_ready_in_time_and_it_tells_which_one_it_takes() -> None:
    known = {
        "load_per_hour": 20.0,
        "gain_factors": (1.2, 1.4, 1.6, 1.8),
        "dead_time_factors": (0.6, 0.7, 0.8, 0.9, 1.25, 1.5),
    }
    inputs = tuple(entry.model_copy(update=known) for entry in SETTINGS.inputs)
    settings = SETTINGS.model_copy(update={"inputs": inputs})
    setup = SETUP.model_copy(update={"settings": settings, "period_seconds": 1.0})
    late = replace(MODEL.channels[0][0], dead_time_seconds=1.5 * 7.0)
    plant = discretise(replace(MODEL, channels=((late,),)), 1.0)
    state, applied, rng = plant.steady(np.zeros(1)), 150.0, random.Random(1)
    async with solver(setup=setup) as process:
        await ready(process)
        for number in range(1, 201):
            wanted = 4.0 if number // 40 % 2 else 4.1
            shown = 4.0 + float(plant.outputs(state)[0]) + rng.gauss(0.0, 0.005)
            asked = {"number": number, "set_points": (wanted,), "outputs": (shown,), "applied": (applied,)}
            answer = await process.ask(question(number).model_copy(update={**asked, "seconds": min(number - 1.0, 1.0)}))
            assert answer.fault == ""
            (applied,) = answer.inputs
            state = plant.advance(state, np.array([applied - 150.0]))
    assert answer.assumed == "dead time of line_a/forming/belt_speed_setpoint x1.5"


async def test_a_killed_process_is_known_at_once_and_another_takes_its_place() -> None:
    async with solver() as process:
        first = await ready(process)
        os.kill(first, signal.SIGKILL)
        answer = await process.ask(question(1))
        assert answer.inputs == ()
        assert answer.fault.startswith("the solver ended")
        await until(lambda: process.pid not in (None, first))
        assert (await process.ask(question(2))).fault == ""


async def test_other_limits_are_those_of_the_next_process() -> None:
    async with solver() as process:
        first = await ready(process)
        assert (await process.ask(question(1))).inputs[0] > 151.0
        process.limit((InputRange(low=50.0, high=150.5, rate_per_second=1 / 3),))
        await until(lambda: process.pid not in (None, first))
        assert (await process.ask(question(2))).inputs == pytest.approx((150.5,))
        process.limit((InputRange(low=50.0, high=200.0, rate_per_second=0.01),))
        process.limit((InputRange(low=50.0, high=200.0, rate_per_second=0.005),))
        second = process.pid
        await until(lambda: process.pid not in (None, second))
        assert (await process.ask(question(3))).inputs == pytest.approx((150.3,))


async def test_limits_that_change_while_it_starts_count_from_its_first_answer_on() -> None:
    async with solver() as process:
        await asyncio.sleep(0.05)
        assert process.pid is None
        process.limit((InputRange(low=50.0, high=150.5, rate_per_second=1 / 3),))
        await ready(process)
        assert (await process.ask(question(1))).inputs == pytest.approx((150.5,))


async def test_a_stopped_process_costs_one_deadline_and_is_replaced() -> None:
    async with solver(setup=SETUP.model_copy(update={"period_seconds": 1.0})) as process:
        first = await ready(process)
        os.kill(first, signal.SIGSTOP)
        faults = [(await process.ask(question(number))).fault for number in range(1, 4)]
        assert faults == ["no answer within 0.2 s", *["the solver has not answered yet"] * 2]
        await until(lambda: process.pid not in (None, first))
        assert (await process.ask(question(4))).fault == ""


async def test_a_late_answer_is_nobodys_answer_to_a_later_question() -> None:
    async with solver() as process:
        pid = await ready(process)
        os.kill(pid, signal.SIGSTOP)
        assert "no answer" in (await process.ask(question(1))).fault
        os.kill(pid, signal.SIGCONT)
        number, answers = 1, list[Answer]()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not answers or answers[-1].fault:
                number += 1
                answers.append(await process.ask(question(number)))
                await asyncio.sleep(0.05)
        assert answers[-1].number == number
        assert process.pid == pid, "it was late, not stuck"


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        (("/nonexistent/solver",), "can't be started"),
        (script("print('hello, this is no solver at all')"), "a message of"),
        (script("import time; time.sleep(60)"), "the solver starts"),
        (script("raise SystemExit(7)"), "with status 7"),
        (script(READY + "out.write(framed(Ready(model_hash='0')))"), "it uses another model"),
        (script(READY + "out.write(framed(Ready(fault='no plan')))"), "refuses: no plan"),
        (script(READY + FRAME + "out.write(b'\\xff' * 8); out.flush(); sys.stdin.buffer.read()"), "a message of"),
        (script(READY + FRAME + "out.write(LENGTH.pack(2) + b'{}'); out.flush(); sys.stdin.read()"), "no Answer"),
        (script(READY + FRAME + "out.write(framed(Answer(number=77))); out.flush(); input()"), "nobody asked"),
        (
            script(READY + FRAME + 'b = b\'{"number": 1, "inputs": [NaN]}\'; out.write(LENGTH.pack(len(b)) + b)'),
            "no Answer",
        ),
    ],
)
async def test_a_process_that_is_no_solver_is_said_to_be_none(command: Sequence[str], fault: str) -> None:
    async with solver(command) as process:
        await fault_of(process, fault)


async def test_a_model_that_is_damaged_on_the_way_is_refused_by_the_process() -> None:
    damaged = SETUP.model_copy(update={"artefact": SETUP.artefact.replace("-0.027", "-0.127")})
    async with solver(setup=damaged) as process:
        assert "does not have the hash" in (await fault_of(process, "refuses")).fault


@pytest.mark.parametrize("sent", [framed(SETUP), framed(SETUP)[:-10]], ids=["all", "half"])
def test_a_process_whose_daemon_was_killed_ends_without_a_word(sent: bytes) -> None:
    process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stdin.write(sent)
    process.stdin.close()
    assert process.wait(PATIENCE_SECONDS) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


async def test_no_process_outlives_whoever_asked() -> None:
    async with solver() as process:
        pid = await ready(process)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_no_deadline_is_longer_than_a_second() -> None:
    process = SolverProcess("slow", SETUP, "", SystemClock())
    assert process.deadline_seconds == LONGEST_DEADLINE_SECONDS

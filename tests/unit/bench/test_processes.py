"""Whoever is told to stop stops every process that it has started, also the one that was just being started."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import processes
from bench.processes import STOP_SIGNALS, Process, Stack, leave, on_stop


class Struck(Process):
    """The terminal is closed while it starts."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        signal.raise_signal(signal.SIGTERM)


@pytest.fixture
def handlers() -> Iterator[None]:
    """Those of the tests come back."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_a_process_that_was_being_started_is_stopped_with_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "Process", Struck)
    on_stop(leave)
    started: list[Process] = []

    def start() -> None:
        with Stack(tmp_path) as stack:
            try:
                stack.start("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"])
            finally:
                started.extend(stack.processes.values())

    with pytest.raises(SystemExit):
        start()
    (process,) = started
    assert not process.alive()

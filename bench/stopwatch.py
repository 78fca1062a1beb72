"""Seconds by the clock and on the processors, between two moments."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple


class Took(NamedTuple):
    """What one way of storing rows took: seconds by the clock, CPU seconds of the writer and of the database server."""

    seconds: float
    own_cpu: float
    database_cpu: float = 0.0
    size: int = 0


class Stopwatch:
    """Runs from when it is made. `own` and `database` tell CPU seconds so far."""

    def __init__(
        self, own: Callable[[], float] = time.process_time, database: Callable[[], float] | None = None
    ) -> None:
        self._own = own
        self._database = database or (lambda: 0.0)
        self._before = (time.perf_counter(), self._own(), self._database())

    def stop(self) -> Took:
        """The differences until now."""
        seconds, own, database = self._before
        return Took(time.perf_counter() - seconds, self._own() - own, self._database() - database)

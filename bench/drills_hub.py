"""Drills of the hub: killed, refusing, slow, cut off after its commit, its database restarted. No gap is allowed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from bench.disturbance import Disturbance, Drill, broker_missing
from bench.drill_line import DrillLine
from bench.postgres_server import programs
from bench.processes import StackFailed, wait_until
from bench.proxy import Rewrite, Weather, http_answer
from bench.report import Bar

REFUSALS = (
    http_answer("500 Internal Server Error"),
    http_answer("429 Too Many Requests", "Retry-After: 1"),
    http_answer("503 Service Unavailable"),
)
REFUSING_SECONDS = 20.0
LEAST_REFUSALS = 5
SLOW = Weather(delay_seconds=3.0)
SLOW_SECONDS = 20.0
DEAF_SECONDS = 15.0
DATABASE_AWAY_SECONDS = 5.0
LOCKED_SECONDS = 60
"""The table of the samples is locked until the crash, at most for so long."""
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


def hub_down(line: DrillLine) -> Disturbance:
    """SIGKILL of the hub, started again after 20 s."""
    return _hub_killed(line, 20.0)


def hub_killed(line: DrillLine) -> Disturbance:
    """SIGKILL of the hub, started again after 60 s."""
    return _hub_killed(line, 60.0)


def _hub_killed(line: DrillLine, seconds: float) -> Disturbance:
    done = Disturbance(backlog=True)
    with done.span():
        line.processes["hub"].kill()
        time.sleep(seconds)
        line.start_hub()
    return done


def start_behind_proxy(line: DrillLine) -> None:
    """The glass line; the daemon reaches its hub through a proxy."""
    line.start_surroundings()
    proxy = line.proxy("hub", line.hub_port)
    line.overrides["EDGED_HUB_URL"] = f"http://127.0.0.1:{proxy.port}"
    line.start_glass_plant()
    line.start_edge(line.glass_config())


def hub_refuses(line: DrillLine) -> Disturbance:
    """Every POST is answered by 500, 429 or 503 in turn."""
    proxy = line.proxies["hub"]
    done = Disturbance(backlog=True)
    with done.span():
        proxy.answer_instead(*REFUSALS)
        time.sleep(REFUSING_SECONDS)
        proxy.answer_instead()
    done.bars.append(Bar("refused POSTs", proxy.refused, LEAST_REFUSALS, "at_least"))
    return done


def hub_slow(line: DrillLine) -> Disturbance:
    """Everything to and from the hub takes 3 s."""
    done = Disturbance(backlog=True)
    with done.span():
        line.proxies["hub"].set(SLOW)
        time.sleep(SLOW_SECONDS)
        line.proxies["hub"].mend()
    return done


def hub_answers_lost(line: DrillLine) -> Disturbance:
    """The hub commits, but the connection breaks before its answer: everything is sent again."""
    done = Disturbance(backlog=True)
    with done.span():
        line.proxies["hub"].rewrite(_broken)
        time.sleep(DEAF_SECONDS)
        line.proxies["hub"].rewrite(None)
    return done


def _broken() -> Rewrite:
    def lose(_: bytes) -> bytes:
        raise ConnectionResetError

    return lose


def start_on_postgres(line: DrillLine) -> None:
    """The glass line with a hub that keeps its rows in PostgreSQL."""
    line.start_postgres()
    line.start_surroundings()
    line.start_glass_plant()
    line.start_edge(line.glass_config())


def database_restarted(line: DrillLine) -> Disturbance:
    """PostgreSQL crashes while the hub has written the ledger row of a batch and not its samples; back after 5 s."""
    server = line.postgres
    assert server is not None
    done = Disturbance(backlog=True)
    with done.span(), ThreadPoolExecutor(1) as other:
        holding = other.submit(server.run, f"BEGIN; LOCK TABLE sample_rows; SELECT pg_sleep({LOCKED_SECONDS});")
        wait_until("the hub's transaction to wait", lambda: int(server.run(WAITING)) > 0)
        server.crash()
        assert isinstance(holding.exception(), StackFailed)
        time.sleep(DATABASE_AWAY_SECONDS)
        server.start()
    return done


def postgres_missing() -> str | None:
    """What this machine lacks for it, or None."""
    return broker_missing() or (None if programs() else "postgresql")


DRILLS = (
    Drill("hub-down", "SIGKILL of the hub, 20 s", 45, hub_down, in_ci=True),
    Drill("hub-killed", "SIGKILL of the hub, 60 s", 90, hub_killed),
    Drill("hub-refuses", "the hub answers 500, 429, 503, 20 s", 50, hub_refuses, start_behind_proxy),
    Drill("hub-slow", "3 s to the hub and 3 s back, 20 s", 60, hub_slow, start_behind_proxy),
    Drill("hub-answers-lost", "the hub commits, its answers are lost, 15 s", 50, hub_answers_lost, start_behind_proxy),
    Drill(
        "database-restarted",
        "the hub's PostgreSQL crashes in an open transaction, 5 s",
        55,
        database_restarted,
        start_on_postgres,
        postgres_missing,
    ),
)

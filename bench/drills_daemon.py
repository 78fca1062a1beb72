"""Drills of the daemon itself: killed, killed often, stopped, killed together with the hub, its clock moved."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

from bench.disturbance import SOURCES, Disturbance, Drill, broker_missing
from bench.drill_line import Config, DrillLine
from bench.report import Bar

KILLS = 50
SEED = 20
AWAY_SECONDS = 2.0
LONGEST_AWAY_SECONDS = 0.6
EARLIEST_KILL_SECONDS, LATEST_KILL_SECONDS = 0.1, 1.6
SHORT_STALL_SECONDS, LONG_STALL_SECONDS = 4.0, 30.0
START_SHARE = 0.2
"""So many of the kills come while the daemon starts."""
LONGEST_START_SECONDS = 1.5
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
DAY_SECONDS = 86_400
MOVED_SECONDS = 10.0


def daemon_killed(line: DrillLine) -> Disturbance:
    """SIGKILL of the daemon, started again after 2 s."""
    done = Disturbance(away=SOURCES, gaps=SOURCES)
    with done.span():
        line.processes["edged"].kill()
        time.sleep(AWAY_SECONDS)
        line.start_edge()
    line.wait_for_data()
    return done


def daemon_killed_often(line: DrillLine) -> Disturbance:
    """SIGKILL at random moments, some of them while it starts; one outbox goes through all of them."""
    dice = random.Random(SEED)
    done = Disturbance(away=SOURCES, gaps=SOURCES)
    left = line.kills
    while left:
        time.sleep(dice.uniform(EARLIEST_KILL_SECONDS, LATEST_KILL_SECONDS))
        with done.span():
            again = True
            while again and left:
                line.processes["edged"].kill()
                left -= 1
                time.sleep(dice.uniform(0.0, LONGEST_AWAY_SECONDS))
                line.start_edge()
                again = dice.random() < START_SHARE
                if again and left:
                    time.sleep(dice.uniform(0.0, LONGEST_START_SECONDS))
        line.wait_for_data()
    return done


def daemon_terminated(line: DrillLine) -> Disturbance:
    """SIGTERM, as systemd stops it, started again after 2 s: what it had received is flushed first."""
    done = Disturbance(away=SOURCES, gaps=SOURCES)
    with done.span():
        status = line.stop_edge()
        time.sleep(AWAY_SECONDS)
        line.start_edge()
    line.wait_for_data()
    done.bars.append(Bar("exit status of the first stop", status, 0))
    return done


def daemon_stalled(line: DrillLine) -> Disturbance:
    """SIGSTOP of the daemon; servers and broker keep everything for it meanwhile."""
    return _stall(line, SHORT_STALL_SECONDS, ())


def daemon_stalled_long(line: DrillLine) -> Disturbance:
    """SIGSTOP of the daemon, longer than a server keeps values for it."""
    return _stall(line, LONG_STALL_SECONDS, SOURCES)


def _stall(line: DrillLine, seconds: float, gaps: tuple[str, ...]) -> Disturbance:
    done = Disturbance(away=SOURCES, gaps=gaps)
    with done.span():
        line.processes["edged"].signal(signal.SIGSTOP)
        time.sleep(seconds)
        line.processes["edged"].signal(signal.SIGCONT)
    return done


def daemon_and_hub_killed(line: DrillLine) -> Disturbance:
    """SIGKILL of hub and daemon at once; the daemon is back after 2 s, the hub after 20 s."""
    done = Disturbance(away=SOURCES, gaps=SOURCES)
    with done.span():
        line.processes["hub"].kill()
        line.processes["edged"].kill()
        time.sleep(AWAY_SECONDS)
        line.start_edge()
    line.wait_for_data()
    time.sleep(18.0)
    line.start_hub()
    return done


def start_with_own_clock(line: DrillLine) -> None:
    """OPC UA and MQTT, whose values bring their own times, and a daemon whose wall clock can be moved."""
    line.start_surroundings()
    line.start_glass_plant()
    move_clock(line, 0)
    line.overrides |= {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(line.folder / "clock"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    line.start_edge(line.glass_config(_without_forming))


def _without_forming(config: Config) -> None:
    del config["control"], config["models"], config["sources"]["forming"]
    config["skew_limit_seconds"] = 2 * DAY_SECONDS


def move_clock(line: DrillLine, seconds: int) -> None:
    """The daemon's wall clock is off by so much; its monotonic clock is not."""
    (line.folder / "clock").write_text(f"{seconds:+d}", encoding="utf-8")


def clock_moved(line: DrillLine) -> Disturbance:
    """The wall clock jumps a day ahead, back, a day behind, and back."""
    done = Disturbance(own_clock=True)
    with done.span():
        for seconds in (DAY_SECONDS, 0, -DAY_SECONDS, 0):
            move_clock(line, seconds)
            time.sleep(MOVED_SECONDS)
    return done


def faketime_missing() -> str | None:
    """What this machine lacks for it, or None."""
    return broker_missing() or (None if FAKETIME else "faketime")


DRILLS = (
    Drill("daemon-killed", "SIGKILL of edged, 2 s", 35, daemon_killed, in_ci=True),
    Drill("daemon-kills", "SIGKILL of edged at random moments, --kills times", 220, daemon_killed_often, in_ci=True),
    Drill("daemon-terminated", "SIGTERM of edged, 2 s", 35, daemon_terminated),
    Drill("daemon-stalled", "SIGSTOP of edged, 4 s", 35, daemon_stalled),
    Drill("daemon-stalled-long", "SIGSTOP of edged, 30 s", 65, daemon_stalled_long),
    Drill("daemon-and-hub-killed", "SIGKILL of edged (2 s) and the hub (20 s) at once", 55, daemon_and_hub_killed),
    Drill(
        "clock-moved",
        "wall clock of edged a day ahead and a day behind, 10 s each",
        65,
        clock_moved,
        start_with_own_clock,
        faketime_missing,
        ("opcua", "mqtt"),
    ),
)

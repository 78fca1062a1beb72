"""Drills with an OPC UA server of other hands: node-opcua stalled, renumbered, with one bad node among many."""

from __future__ import annotations

import time

from bench import node_opcua
from bench.disturbance import Disturbance, Drill, broker_missing
from bench.drill_line import PRIMARY_HOST, DrillLine
from bench.drills_source import LONG_STALL_SECONDS, SHORT_STALL_SECONDS, stall
from bench.node_opcua import COUNTERS, PERIOD_SECONDS, SERVER, SOURCE, start_server, write_config
from bench.report import Bar

SERVER_AWAY_SECONDS = 5.0
FOREIGN_NAMESPACES = 3
MANY_COUNTERS = 999
AFTERWARDS_SECONDS = 10.0
"""The last ticks of all counters, at the stop, can't be judged: so long that they are less than a twentieth of all."""
MANY_PERIOD_SECONDS = 0.5
OPERATION_LIMIT = 100


def start_node_opcua_line(line: DrillLine) -> None:
    """node-opcua and a daemon with this one source."""
    line.start_surroundings()
    start_server(line)
    line.start_edge(write_config(line, primary_host=PRIMARY_HOST))


def start_many_nodes(line: DrillLine) -> None:
    """1,000 configured nodes of which the server lacks one, a hundred to a call."""
    line.start_surroundings()
    _start_limited(line)
    line.start_edge(write_config(line, MANY_COUNTERS + 1, PRIMARY_HOST))


def missing() -> str | None:
    """What this machine lacks for it, or None."""
    return broker_missing() or node_opcua.missing()


def server_stalled(line: DrillLine) -> Disturbance:
    """SIGSTOP of node-opcua, whose sessions do not outlive a client that takes a stall for a loss."""
    return stall(line.processes[SERVER].pid, SOURCE, SHORT_STALL_SECONDS)


def server_stalled_long(line: DrillLine) -> Disturbance:
    """SIGSTOP of node-opcua, longer than the silence that the daemon bears."""
    return stall(line.processes[SERVER].pid, SOURCE, LONG_STALL_SECONDS)


def server_renumbered(line: DrillLine) -> Disturbance:
    """The server comes back with other namespaces before its own: every numeric index has another meaning."""
    done = Disturbance(away=(SOURCE,), gaps=(SOURCE,))
    with done.span():
        line.processes[SERVER].kill()
        time.sleep(SERVER_AWAY_SECONDS)
        start_server(line, COUNTERS, PERIOD_SECONDS, "--foreign-namespaces", str(FOREIGN_NAMESPACES))
    return done


def one_bad_node(line: DrillLine) -> Disturbance:
    """The server is killed and comes back; the one bad node stops none of the others."""
    done = Disturbance(away=(SOURCE,), gaps=(SOURCE,))
    done.bars += _subscribed(line, "at first")
    with done.span():
        line.processes[SERVER].kill()
        time.sleep(SERVER_AWAY_SECONDS)
        _start_limited(line)
    time.sleep(AFTERWARDS_SECONDS)
    done.bars += _subscribed(line, "after the restart")
    return done


def _start_limited(line: DrillLine) -> None:
    start_server(line, MANY_COUNTERS, MANY_PERIOD_SECONDS, "--limit", str(OPERATION_LIMIT))


def _subscribed(line: DrillLine, when: str) -> list[Bar]:
    status = line.status()
    assert status is not None
    source = status["sources"][0]
    return [
        Bar(f"signals delivered {when}", source["accepted"], MANY_COUNTERS, "at_least"),
        Bar(f"signals refused {when}", len(source["refused"]), 1),
    ]


ALONE = (SERVER,)
DRILLS = (
    Drill(
        "node-opcua-stalled",
        "SIGSTOP of a node-opcua server, 3 s",
        30,
        server_stalled,
        start_node_opcua_line,
        missing,
        ALONE,
        in_ci=True,
    ),
    Drill(
        "node-opcua-stalled-long",
        "SIGSTOP of a node-opcua server, 30 s",
        60,
        server_stalled_long,
        start_node_opcua_line,
        missing,
        ALONE,
    ),
    Drill(
        "server-renumbered",
        "a node-opcua server comes back with other namespaces, 5 s",
        35,
        server_renumbered,
        start_node_opcua_line,
        missing,
        ALONE,
    ),
    Drill(
        "one-bad-node",
        "1 bad node among 1,000, 100 to a call, server killed 5 s",
        45,
        one_bad_node,
        start_many_nodes,
        missing,
        ALONE,
    ),
)

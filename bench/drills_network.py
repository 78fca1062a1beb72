"""Drills of network and broker: cut without a word, slow, lossy; a broker that is away or acknowledges nothing."""

from __future__ import annotations

import time

from bench.disturbance import Disturbance, Drill, broker_missing, start_glass_line
from bench.drill_line import DrillLine
from bench.network import namespace_missing, own_network, packet_loss
from bench.proxy import Rewrite, Weather
from bench.report import Bar

BROKER_AWAY_SECONDS = 20.0
CUT_SECONDS = 20.0
BAD_SECONDS = 20.0
DEAF_SECONDS = 25.0
HOST_AWAY_SECONDS = 20.0
PUBACK = 4
LOST_PERCENT = 5
SLOW = Weather(delay_seconds=0.2)
JITTER = Weather(stall_share=0.05, stall_seconds=1.0)
FACES = {"opcua": "EDGED_OPCUA_PORT", "modbus": "EDGED_MODBUS_PORT", "mqtt": "EDGED_MQTT_PORT"}


def start_behind_proxies(line: DrillLine) -> None:
    """The glass line; the daemon reaches the plant and the broker through proxies."""
    line.start_surroundings()
    for face, target in (("opcua", line.opcua_port), ("modbus", line.modbus_port), ("mqtt", line.mqtt_port)):
        line.proxy(face, target, FACES[face])
    line.start_glass_plant()
    line.start_edge(line.glass_config())


def network_cut(line: DrillLine) -> Disturbance:
    """Nothing passes between the daemon and plant and broker, and no end of a connection is told."""
    done = Disturbance(away=("furnace", "forming"), gaps=("furnace", "forming"))
    with done.span():
        for face in FACES:
            line.proxies[face].cut()
        time.sleep(CUT_SECONDS)
        for face in FACES:
            line.proxies[face].mend()
    return done


def network_slow(line: DrillLine) -> Disturbance:
    """Every packet takes 200 ms longer, in both directions."""
    return _bad(line, SLOW)


def network_stalls(line: DrillLine) -> Disturbance:
    """One piece of data in twenty is held up for up to a second."""
    return _bad(line, JITTER)


def _bad(line: DrillLine, weather: Weather) -> Disturbance:
    done = Disturbance()
    with done.span():
        for face in FACES:
            line.proxies[face].set(weather)
        time.sleep(BAD_SECONDS)
        for face in FACES:
            line.proxies[face].mend()
    return done


def broker_down(line: DrillLine) -> Disturbance:
    """The broker stops cleanly and comes back after 20 s."""
    done = Disturbance(away=("cold_end",))
    with done.span():
        line.processes["broker"].stop()
        time.sleep(BROKER_AWAY_SECONDS)
        line.start_broker()
    return done


def broker_killed(line: DrillLine) -> Disturbance:
    """SIGKILL of the broker, back after 20 s: only MQTT ingest may have a gap."""
    done = Disturbance(away=("cold_end",), gaps=("cold_end",))
    with done.span():
        line.processes["broker"].kill()
        time.sleep(BROKER_AWAY_SECONDS)
        line.start_broker()
    return done


def broker_deaf(line: DrillLine) -> Disturbance:
    """The broker takes everything and acknowledges nothing: nothing counts as delivered."""
    done = Disturbance()
    with done.span():
        line.proxies["mqtt"].rewrite(without_acknowledgements)
        time.sleep(DEAF_SECONDS)
        line.proxies["mqtt"].rewrite(None)
    return done


def without_acknowledgements() -> Rewrite:
    """Whole MQTT packets, but for PUBACK."""
    rest = bytearray()

    def passed(piece: bytes) -> bytes:
        rest.extend(piece)
        kept = bytearray()
        while (end := _packet_end(rest)) and end <= len(rest):
            if rest[0] >> 4 != PUBACK:
                kept += rest[:end]
            del rest[:end]
        return bytes(kept)

    return passed


def _packet_end(data: bytearray) -> int:
    """Where the first packet ends; 0 while its length is not there yet."""
    length = 0
    for at in range(1, min(5, len(data))):
        length |= (data[at] & 0x7F) << 7 * (at - 1)
        if not data[at] & 0x80:
            return at + 1 + length
    return 0


def primary_host_away(line: DrillLine) -> Disturbance:
    """The primary host reads nothing any more, is found dead by the broker, and comes back after 20 s."""
    host = line.host
    assert host is not None
    done = Disturbance()
    with done.span():
        host.vanish()
        time.sleep(HOST_AWAY_SECONDS)
        host.come_back()
    status = line.status()
    assert status is not None
    done.bars.append(Bar("batches sent again to the host", status["sparkplug"]["sent_again"], 1, "at_least"))
    return done


def start_in_own_network(line: DrillLine) -> None:
    """The glass line in a network namespace of its own."""
    line.enter(own_network())
    start_glass_line(line)


def packets_lost(line: DrillLine) -> Disturbance:
    """Five packets of a hundred are dropped, whoever they are for."""
    del line
    done = Disturbance(away=("forming",), gaps=("forming",))
    with done.span(), packet_loss(LOST_PERCENT):
        time.sleep(BAD_SECONDS)
    return done


def network_missing() -> str | None:
    """What this machine lacks for it, or None."""
    return broker_missing() or namespace_missing()


DRILLS = (
    Drill("network-cut", "network cut without FIN, 20 s", 50, network_cut, start_behind_proxies),
    Drill("network-slow", "200 ms delay to plant and broker, 20 s", 50, network_slow, start_behind_proxies),
    Drill("network-stalls", "random stalls of up to 1 s, 20 s", 50, network_stalls, start_behind_proxies),
    Drill(
        "packets-lost",
        "5 % of all packets dropped, 20 s",
        50,
        packets_lost,
        start_in_own_network,
        network_missing,
    ),
    Drill("broker-down", "clean stop of the broker, 20 s", 50, broker_down, in_ci=True),
    Drill("broker-killed", "SIGKILL of the broker, 20 s", 50, broker_killed, in_ci=True),
    Drill("broker-deaf", "the broker acknowledges nothing, 25 s", 60, broker_deaf, start_behind_proxies),
    Drill("primary-host-away", "the primary host dies and is back after 20 s", 50, primary_host_away),
)

"""Drills of the sources: killed, stalled, with a new certificate, with spoiled answers."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from asyncua.crypto.cert_gen import setup_self_signed_certificate
from cryptography.x509.oid import ExtendedKeyUsageOID

from bench.disturbance import Disturbance, Drill
from bench.drill_line import Config, DrillLine
from bench.processes import wait_until
from bench.proxy import Rewrite, Weather

SHORT_STALL_SECONDS = 3.0
LONG_STALL_SECONDS = 30.0
SEED = 20
SERVER_URI = "urn:edged:sim:server"
SPOILED_SECONDS = 20.0
SPOILED_SHARE = 0.02
LATE_SECONDS = 3.0
MODBUS_HEADER_BYTES = 7
"""The last of them is the unit; then come the function and the count of bytes."""


def server_killed(line: DrillLine) -> Disturbance:
    """SIGKILL of the OPC UA server; the plant starts it again after 10 s."""
    before = line.face_pid("opcua")
    done = Disturbance(away=("furnace",), gaps=("furnace",))
    with done.span():
        os.kill(before, signal.SIGKILL)
        wait_until("the OPC UA server's return", lambda: line.face_pid("opcua") != before, line.processes["plant"])
    return done


def server_stalled(line: DrillLine) -> Disturbance:
    """SIGSTOP of the OPC UA server."""
    return stall(line.face_pid("opcua"), "furnace", SHORT_STALL_SECONDS)


def server_stalled_long(line: DrillLine) -> Disturbance:
    """SIGSTOP of the OPC UA server, longer than the silence that the daemon bears."""
    return stall(line.face_pid("opcua"), "furnace", LONG_STALL_SECONDS)


def stall(pid: int, source: str, seconds: float) -> Disturbance:
    """SIGSTOP of a server for some time."""
    done = Disturbance(away=(source,), gaps=(source,))
    with done.span():
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)
    return done


def start_behind_modbus_proxy(line: DrillLine) -> None:
    """The glass line; what the Modbus device answers passes through a proxy."""
    line.start_surroundings()
    line.proxy("modbus", line.modbus_port, "EDGED_MODBUS_PORT")
    line.start_glass_plant()
    line.start_edge(line.glass_config())


def modbus_spoiled(line: DrillLine) -> Disturbance:
    """Some answers come late, some half, some say they are another unit's."""
    done = Disturbance(away=("forming",), gaps=("forming",))
    proxy = line.proxies["modbus"]
    with done.span():
        proxy.rewrite(_spoiler(random.Random(SEED)))
        proxy.set(Weather(stall_share=SPOILED_SHARE, stall_seconds=LATE_SECONDS))
        time.sleep(SPOILED_SECONDS)
        proxy.mend()
        proxy.rewrite(None)
    return done


def _spoiler(dice: random.Random) -> Callable[[], Rewrite]:
    def spoil(answer: bytes) -> bytes:
        chance = dice.random()
        if chance < SPOILED_SHARE:
            return answer[: len(answer) // 2]
        if chance < 2 * SPOILED_SHARE:
            foreign = bytes(255 - byte for byte in answer[MODBUS_HEADER_BYTES + 2 :])
            return answer[: MODBUS_HEADER_BYTES - 1] + b"\x02" + answer[MODBUS_HEADER_BYTES:][:2] + foreign
        return answer

    return lambda: spoil


def start_secured(line: DrillLine) -> None:
    """The glass line; its OPC UA server speaks to nobody without Basic256Sha256."""
    line.start_surroundings()
    server = _certificate(line, "server", SERVER_URI)
    client = _certificate(line, "client", "urn:edged:client")
    _certificate(line, "renewed", SERVER_URI)
    files = ("--opcua-certificate", str(server), "--opcua-key", str(server.with_suffix(".pem")))
    line.start_glass_plant(*files, "--opcua-secure-only")

    def secure(config: Config) -> None:
        config["sources"]["furnace"]["options"] |= {
            "security_policy": "Basic256Sha256",
            "certificate": str(client),
            "key": str(client.with_suffix(".pem")),
            "server_certificate": str(server),
        }

    line.start_edge(line.glass_config(secure))


def _certificate(line: DrillLine, name: str, uri: str) -> Path:
    certificate = line.folder / f"{name}.der"
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    key, host = certificate.with_suffix(".pem"), socket.gethostname()
    asyncio.run(setup_self_signed_certificate(key, certificate, uri, host, uses, {"commonName": name}))
    return certificate


def certificate_replaced(line: DrillLine) -> Disturbance:
    """The server comes back with another certificate, which the operator put in the place of the trusted one."""
    done = Disturbance(away=("furnace",), gaps=("furnace",))
    before = line.face_pid("opcua")
    with done.span():
        os.kill(before, signal.SIGKILL)
        for suffix in (".der", ".pem"):
            (line.folder / "renewed").with_suffix(suffix).replace(line.folder / f"server{suffix}")
        wait_until("the OPC UA server's return", lambda: line.face_pid("opcua") != before, line.processes["plant"])
    return done


DRILLS = (
    Drill("server-killed", "SIGKILL of the OPC UA server, 10 s", 40, server_killed, in_ci=True),
    Drill("server-stalled", "SIGSTOP of the OPC UA server, 3 s", 35, server_stalled, in_ci=True),
    Drill("server-stalled-long", "SIGSTOP of the OPC UA server, 30 s", 60, server_stalled_long),
    Drill(
        "certificate-replaced",
        "the OPC UA server comes back with another certificate, 10 s",
        45,
        certificate_replaced,
        start_secured,
    ),
    Drill(
        "modbus-spoiled",
        "a Modbus device answers late, half, or as another unit, 20 s",
        50,
        modbus_spoiled,
        start_behind_modbus_proxy,
    ),
)

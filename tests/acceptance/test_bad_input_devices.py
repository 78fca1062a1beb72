"""Devices that refuse: certificate, user, one node among 300, one Modbus block. Everything else flows (CARD2)."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from cryptography.x509.oid import ExtendedKeyUsageOID

from bench.line import LineStack
from bench.processes import listens, wait_until
from tests.acceptance.bad_input_rig import (
    Json,
    held_alarms,
    held_reasons,
    history,
    log_lines,
    source,
    standing,
    until,
    written,
)
from tests.integration.opcua_rig import NAMESPACE, ServerProcess

NODES = 299
"""Nodes that exist; one more is configured."""
ABSENT = "line_a/big/absent"
MODBUS_DEVICE = Path(__file__).parent.parent / "integration" / "modbus_device.py"
BROKEN_REGISTER = 119
ILLEGAL_REGISTER = 200
WRITING_FUNCTIONS = frozenset({5, 6, 15, 16, 22, 23})
BOTH_USES = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]

pytestmark = pytest.mark.timeout(120)


class Workshop:
    """Four devices that refuse something, the hub, and the daemon that reads them all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.line = LineStack(folder / "line")
        self.password = folder / "password"
        self.modbus_journal = folder / "modbus.jsonl"
        self._certificates()
        self.big = ServerProcess("--counters", str(NODES), "--period-seconds", "0.5")
        self.guarded = ServerProcess("--user", "operator:right")
        self.secured = ServerProcess(
            *("--certificate", str(folder / "server.der"), "--key", str(folder / "server.pem")),
            *("--trusted", str(folder / "trusted")),
        )

    def start(self) -> None:
        self.line.start_hub()
        for server in (self.big, self.guarded, self.secured):
            server.start_now()
        modbus = [sys.executable, str(MODBUS_DEVICE), str(self.line.modbus_port), str(self.modbus_journal)]
        device = self.line.start("modbus", modbus)
        wait_until("the Modbus device", lambda: listens(self.line.modbus_port), device)
        self.password.write_text("wrong", encoding="utf-8")
        self.password.chmod(0o600)
        self.line.start_edge(self._config())

    def stop(self) -> None:
        self.line.stop()
        for server in (self.big, self.guarded, self.secured):
            server.kill_now()

    def _certificates(self) -> None:
        for name in ("server", "trusted", "stranger"):
            key, certificate = self.folder / f"{name}.pem", self.folder / f"{name}.der"
            names = {"commonName": name}
            uri = f"urn:edged:test:{name}"
            pair = setup_self_signed_certificate(key, certificate, uri, socket.gethostname(), BOTH_USES, names)
            asyncio.run(pair)
        (self.folder / "trusted").mkdir()
        shutil.copy(self.folder / "trusted.der", self.folder / "trusted")

    def _config(self) -> Path:
        line = self.line
        document = {
            "site": "glassworks",
            "line": "line_a",
            "data_directory": str(line.edge_data),
            "http": {"port": line.http_port},
            "hub": {"url": line.hub_url, "secret": {"file": str(line.secret)}},
            "sources": {
                "big": opcua(
                    self.big, *(counter(f"c{number}", "big") for number in range(NODES)), counter("absent", "big")
                ),
                "guarded": opcua(
                    self.guarded,
                    counter("reading", "guarded"),
                    username="operator",
                    password={"file": str(self.password)},
                ),
                "secured": opcua(
                    self.secured,
                    counter("reading", "secured"),
                    security_policy="Basic256Sha256",
                    certificate=str(self.folder / "stranger.der"),
                    key=str(self.folder / "stranger.pem"),
                    server_certificate=str(self.folder / "server.der"),
                ),
                "press": {
                    "kind": "modbus",
                    "options": {"host": "127.0.0.1", "port": line.modbus_port, "period_milliseconds": 200},
                    "signals": [
                        register("scan", "input", 0, "uint32"),
                        register("temperature", "input", 6, "int16"),
                        register("setpoint", "holding", 102, "int16", writable=True),
                        register("broken", "holding", BROKEN_REGISTER, "int16"),
                        register("unmapped", "input", ILLEGAL_REGISTER, "int16"),
                    ],
                },
            },
        }
        return written(self.folder / "config", document)


def opcua(server: ServerProcess, *signals: Json, **options: object) -> Json:
    """An OPC UA source."""
    quick = {"publishing_milliseconds": 500, "sampling_milliseconds": 250}
    return {"kind": "opcua", "options": {"endpoint": server.endpoint, **quick, **options}, "signals": list(signals)}


def counter(node: str, equipment: str) -> Json:
    """A node of the test server."""
    return {"name": f"{equipment}/{node}", "address": {"node": f"nsu={NAMESPACE};s={node}"}}


def register(name: str, table: str, number: int, kind: str, *, writable: bool = False) -> Json:
    """A register of the test device."""
    address = {"table": table, "register": number, "type": kind}
    return {"name": f"press/{name}", "type": "int", "writable": writable, "address": address}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """Everything runs and the hub holds the first values."""
    shop = Workshop(tmp_path_factory.mktemp("workshop"))
    try:
        shop.start()
        until(shop.line, "data", lambda s: source(s, "big")["samples"] > NODES and source(s, "press")["samples"] > 0)
        shop.line.wait_until_drained()
        yield shop
    finally:
        shop.stop()


def test_one_absent_node_does_not_stop_299(workshop: Workshop) -> None:
    line = workshop.line
    status = source(until(line, "every node", lambda s: source(s, "big")["accepted"] == NODES), "big")
    assert status["state"] == "online"
    assert [(one["signal"], one["reason"]) for one in status["refused"]] == [(ABSENT, "BadNodeIdUnknown")]
    assert held_reasons(line, ABSENT) == {"BadNodeIdUnknown"}
    told = [one for one in log_lines(line.processes["edged"], "signal_refused") if one["source"] == "big"]
    assert [(one["signal"], one["reason"]) for one in told] == [(ABSENT, "BadNodeIdUnknown")]
    wait_until("five values of each node at the hub", lambda: len(history(line, f"line_a/big/c{NODES - 1}")) >= 5)
    for number in range(NODES):
        records = history(line, f"line_a/big/c{number}")
        good = [record["value"] for record in records if record["quality"] == 192]
        assert len(good) >= 4
        assert all(later - earlier == 1.0 for earlier, later in pairwise(good)), good


def test_an_untrusted_certificate_is_told_with_what_to_do(workshop: Workshop) -> None:
    line = workshop.line
    status = until(line, "a refusal", lambda s: bool(source(s, "secured")["last_fault"]))
    assert source(status, "secured")["last_fault"].startswith("AccessRefused: ")
    assert f"trust {workshop.folder}/stranger.der on the server" in source(status, "secured")["last_fault"]
    assert ("source_offline", "secured") in standing(status)
    assert held_reasons(line, "line_a/secured/reading") == {"source_offline"}
    (alarm, *_) = [alarm for alarm in held_alarms(line, "source_offline") if alarm["source"] == "secured"]
    assert "stranger.der on the server" in alarm["message"]


def test_a_refused_user_and_the_right_password_later(workshop: Workshop) -> None:
    line = workshop.line
    status = until(line, "a refusal", lambda s: bool(source(s, "guarded")["last_fault"]))
    assert source(status, "guarded")["last_fault"].startswith("AccessRefused: ")
    assert "refuses user operator" in source(status, "guarded")["last_fault"]
    assert "check username and password" in source(status, "guarded")["last_fault"]
    assert ("source_offline", "guarded") in standing(status)
    workshop.password.write_text("right", encoding="utf-8")
    until(line, "the guarded server", lambda s: source(s, "guarded")["state"] == "online", seconds=60.0)
    wait_until("its value at the hub", lambda: bool(good_values(line, "line_a/guarded/reading")))


def test_one_refused_modbus_block_does_not_stop_the_others(workshop: Workshop) -> None:
    line = workshop.line
    status = source(until(line, "the press", lambda s: source(s, "press")["state"] == "online"), "press")
    reasons = {one["signal"]: one["reason"] for one in status["refused"]}
    assert reasons == {
        "line_a/press/broken": "modbus exception 4 (device failure)",
        "line_a/press/unmapped": "modbus exception 2 (illegal data address)",
    }
    for signal, reason in reasons.items():
        assert held_reasons(line, signal) == {reason}
    scans = good_values(line, "line_a/press/scan")
    assert len(scans) >= 5
    assert all(later - earlier == 1 for earlier, later in pairwise(scans)), scans
    assert set(good_values(line, "line_a/press/temperature")) == {1234}


def test_nothing_was_written_and_the_daemon_ran_on(workshop: Workshop) -> None:
    """The last one: it stops the daemon."""
    line = workshop.line
    entries = [json.loads(text) for text in workshop.modbus_journal.read_text(encoding="utf-8").splitlines()]
    assert entries
    assert not [entry for entry in entries if entry["function"] in WRITING_FUNCTIONS]
    status = line.status()
    assert status is not None
    assert not [service for service in status["services"] if service["restarts"]]
    assert all(service["running"] for service in status["services"] if service["essential"])
    assert line.stop_edge() == 0
    assert "Traceback" not in line.processes["edged"].log.read_text(encoding="utf-8")


def good_values(line: LineStack, signal: str) -> list[float]:
    """The values of a signal at the hub that are GOOD."""
    return [record["value"] for record in history(line, signal) if record["quality"] == 192]

"""Browsing: the command line becomes the options of a kind, and the kind does the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from edged.browse import CannotBrowse, browse, endpoint_options, line_file
from edged.config import load
from edged.errors import ConfigError
from edged.ports import Connector
from edged.registry import ConnectorKind, SourceSetup


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Inner(Strict):
    file: str = ""
    depth: int = 1


class ByEndpoint(Strict):
    endpoint: str
    password: Inner = Inner()


class ByHost(Strict):
    host: str
    port: int = 502


class ByBroker(Strict):
    broker: ByHost


def never_built(_: SourceSetup) -> Connector:
    raise AssertionError("browsing builds no connector")


async def show(options: BaseModel) -> str:
    return options.model_dump_json()


KINDS = {
    "endpoint": ConnectorKind("endpoint", ByEndpoint, Strict, never_built, show),
    "host": ConnectorKind("host", ByHost, Strict, never_built, show),
    "broker": ConnectorKind("broker", ByBroker, Strict, never_built, show),
    "silent": ConnectorKind("silent", ByHost, Strict, never_built),
}


@pytest.mark.parametrize(
    ("kind", "endpoint", "pairs", "shown"),
    [
        ("endpoint", "opc.tcp://x:1", (), '{"endpoint":"opc.tcp://x:1","password":{"file":"","depth":1}}'),
        (
            "endpoint",
            "x",
            ("password.file=/a=b", "password.depth=2"),
            '{"endpoint":"x","password":{"file":"/a=b","depth":2}}',
        ),
        ("host", "plc", (), '{"host":"plc","port":502}'),
        ("host", "plc:1502", (), '{"host":"plc","port":1502}'),
        ("host", "tcp://10.0.0.1:5", (), '{"host":"10.0.0.1","port":5}'),
        ("host", "[::1]:5", (), '{"host":"::1","port":5}'),
        ("broker", "mqtt.plant:1883", (), '{"broker":{"host":"mqtt.plant","port":1883}}'),
    ],
)
def test_options(kind: str, endpoint: str, pairs: tuple[str, ...], shown: str) -> None:
    assert browse(kind, endpoint, pairs, kinds=KINDS) == shown


@pytest.mark.parametrize(
    ("endpoint", "pairs", "fault"),
    [
        ("plc:many", (), "ENDPOINT: expected HOST:PORT, got 'plc:many'"),
        ("plc", ("unit",), "expected KEY=VALUE, got 'unit'"),
        ("plc", ("=3",), "expected KEY=VALUE, got '=3'"),
        ("plc", ("prot=3",), "command line:1: prot: unknown key, did you mean 'port'?"),
        ("plc", ("port=x",), "command line:1: port: expected a whole number, got 'x'"),
        ("plc", ("port=1", "port.x=2"), "port.x: port has a value already, so nothing can stand below it"),
    ],
)
def test_faults(endpoint: str, pairs: tuple[str, ...], fault: str) -> None:
    with pytest.raises(ConfigError) as raised:
        browse("host", endpoint, pairs, kinds=KINDS)
    assert raised.value.faults[0].startswith(fault)


def test_kinds_that_cannot_be_browsed_or_do_not_exist() -> None:
    with pytest.raises(CannotBrowse, match="write its signals by hand or as CSV"):
        browse("silent", "plc", kinds=KINDS)
    with pytest.raises(ConfigError, match="unknown kind 'hots', did you mean 'host'"):
        browse("hots", "plc", kinds=KINDS)


def test_empty_endpoint_is_left_to_the_kind() -> None:
    assert endpoint_options(ByHost, "") == {"host": ""}


def test_what_is_printed_is_a_whole_configuration(tmp_path: Path) -> None:
    source = "plc:\n  kind: fake\n  signals:\n    - { name: press/force, unit: kN }\n"
    file = tmp_path / "line.yaml"
    file.write_text(line_file("opc.tcp://plc:4840/", source), encoding="utf-8")
    config = load(file)
    assert list(config.signals) == ["line_1/press/force"]

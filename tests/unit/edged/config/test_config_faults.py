"""Every kind of fault is found, placed by file and line, and says what was meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from edged.config import load
from edged.errors import ConfigError, MissingLibrary
from edged.outside import ENROLLING
from edged.registry import ConnectorKind

Find = Callable[..., list[str]]

CASES: list[dict[str, str]] = yaml.safe_load((Path(__file__).parent / "faults.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=[case["fault"] for case in CASES])
def test_fault(faults: Find, case: dict[str, str]) -> None:
    assert f"line.yaml:{case['fault']}" in faults((case["replace"], case["by"]))


def test_all_faults_are_listed_at_once_in_file_order(faults: Find) -> None:
    found = faults(
        ("site: works", "sight: works"),
        ("{ file: secret }", "{ file: gone }"),
        ("register: 1", "register: x"),
        ("oven/remote, ", "oven/setpoint, "),
        ("signal: oven/temperature", "signal: oven/temprature"),
        ("set_point: 500", "set_point: 500\n      perod_seconds: 3"),
    )
    assert [int(fault.split(":")[1]) for fault in found] == sorted(int(fault.split(":")[1]) for fault in found)
    assert len(found) >= 7


def test_one_fault_causes_no_others(faults: Find) -> None:
    """A signal with a fault of its own is still known to those who refer to it."""
    assert len(faults(("oven/setpoint, unit: degC", "oven/setpoint, unit: degC, hi: 3"))) == 1
    assert len(faults(("- { signal: oven/setpoint, unit: degC", "- { signal: oven/setpoint, unit: degC, x: 1"))) == 1


@pytest.mark.parametrize(("deadband", "fits"), [("1.99", True), ("2", False), ("100", False)])
def test_deadband_at_the_credit_would_freeze_the_loop(
    faults: Find, loaded: Callable[..., object], deadband: str, fits: bool
) -> None:
    """30 degC/min for two periods of 2 s is a move of 2 degC."""
    change = ("set_point: 500", f"set_point: 500\n      output_deadband: {deadband}")
    if fits:
        loaded(change)
        return
    (fault,) = faults(change)
    assert "output_deadband: must be below 2, the move that the rate limit allows in 4 s" in fault


def test_a_loop_that_writes_needs_a_permissive(faults: Find, loaded: Callable[..., object]) -> None:
    without = ("      permissives:\n        - { signal: oven/remote }\n", "")
    loaded(without)
    (fault,) = faults(without, ("ceiling: ceiling.yaml", "ceiling: ceiling.yaml\n  advisory: false"))
    assert "line.yaml:28: control.loops.0.permissives: at least one is needed where control is not advisory" in fault


def test_a_ceiling_in_another_unit(write: Callable[..., Path], kinds: Mapping[str, ConnectorKind]) -> None:
    path = write()
    ceiling = path.parent / "ceiling.yaml"
    ceiling.write_text(ceiling.read_text().replace("degC", "kPa"))
    with pytest.raises(
        ConfigError, match=r"line\.yaml:25: control\.limits\.0\.unit: the ceiling says 'kPa', got 'degC'"
    ):
        load(path, {}, kinds=kinds)


def test_credit_is_capped_at_a_minute(faults: Find) -> None:
    slow = ("period_seconds: 2", "period_seconds: 600\n      output_deadband: 30")
    (fault,) = faults(slow)
    assert "must be below 30, the move that the rate limit allows in 60 s" in fault


def test_slower_ceiling_counts_for_the_deadband(write: Callable[..., Path], kinds: Mapping[str, ConnectorKind]) -> None:
    path = write(("set_point: 500", "set_point: 500\n      output_deadband: 1"))
    load(path, {}, kinds=kinds)
    ceiling = path.parent / "ceiling.yaml"
    ceiling.write_text(ceiling.read_text().replace("rate_per_hour: 3600", "rate_per_hour: 36"))
    with pytest.raises(ConfigError, match=r"must be below 0\.04, the move"):
        load(path, {}, kinds=kinds)


LIMIT = "    - { signal: oven/setpoint, unit: degC, low: 100"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ((LIMIT, f"{LIMIT}, high: 200, rate_per_hour: 1, approval_threshold: 1 }}\n{LIMIT}"), "duplicate limits of"),
        (("models:", "models:\n  - { name: risk, bundle: bundle, output: oven/other }"), "duplicate model, got 'risk'"),
    ],
)
def test_names_are_used_once(faults: Find, change: tuple[str, str], fault: str) -> None:
    (found,) = faults(change)
    assert fault in found


def test_a_loop_kpi_needs_a_name_of_its_own(faults: Find) -> None:
    (fault,) = faults(("output: oven/risk", "output: loops/heat_score"), ("ceiling.yaml", "ceiling.yaml\n  kpis: {}"))
    assert "24: control.kpis: duplicate signal name, got 'loops/heat_score', first at" in fault


def test_two_loops_must_not_drive_one_output(faults: Find) -> None:
    second = """\
    - name: heat
      process_value: oven/temperature
      output: oven/setpoint
      readback: oven/setpoint
      set_point: 1
      controller: { gain: 1, integral_seconds: 60 }
    - name: heat
"""
    assert faults(("    - name: heat\n", second)) == [
        "line.yaml:33: control.loops.1.name: duplicate loop, got 'heat', first on line 27",
        "line.yaml:35: control.loops.1.output: duplicate loop output, got 'oven/setpoint', first on line 27",
    ]


@pytest.mark.parametrize(
    ("secret", "fault"),
    [
        ("{ file: gone }", f"the secret was looked for in gone: No such file or directory ({ENROLLING})"),
        ("{ file: empty }", "the secret file empty is empty"),
        ("{ file: bundle }", "the secret was looked for in bundle: Is a directory"),
        ("{ environment: HUB_SECRET }", "the secret is not in environment variable HUB_SECRET"),
        (
            "{ credential: hub }",
            f"the secret was looked for in nowhere/hub: No such file or directory ({ENROLLING})",
        ),
        ("{ file: a, environment: b }", "name exactly one of file, environment, credential"),
        ("{}", "name exactly one of file, environment, credential"),
    ],
)
def test_missing_secret_says_where_it_was_looked_for(
    faults: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str, fault: str
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", f"{tmp_path}/nowhere")
    (tmp_path / "empty").write_text("\n")
    assert faults(("{ file: secret }", secret)) == [f"line.yaml:5: hub.secret: {fault}"]


def test_secret_of_a_source_is_looked_for_too(faults: Find) -> None:
    assert faults(("order: ABCD", "password: { file: gone }")) == [
        "line.yaml:11: sources.plc.options.password: the secret was looked for in gone: No such file or directory"
    ]


@pytest.mark.parametrize("text", ["hunter2", "12345", "[hunter2]"])
def test_secret_in_the_wrong_place_is_not_shown(faults: Find, text: str) -> None:
    found = faults(("{ file: secret }", text), ("order: ABCD", f"password: {text}"))
    assert len(found) == 2
    assert not any("hunter2" in fault or "12345" in fault for fault in found)


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        (
            "http: { host: 0.0.0.0 }",
            "http.host: pages beyond loopback need http.token, got host '0.0.0.0' and no token",
        ),
        ("http: { host: plc-gateway }", "http.host: pages beyond loopback need http.token"),
        ("http: { host: 127.0.0.2 }", ""),
        ("http: { host: localhost }", ""),
        ("http: { host: '::1' }", ""),
        ("http: { host: 0.0.0.0, token: { file: secret } }", ""),
    ],
)
def test_pages_beyond_loopback_need_a_token(
    faults: Find, loaded: Callable[..., object], section: str, fault: str
) -> None:
    change = ("hub:", f"{section}\nhub:")
    if not fault:
        loaded(change)
        return
    (found,) = faults(change)
    assert found.startswith(f"line.yaml:4: {fault}")


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://hub:8480", "plain http is for loopback only, use https, got 'http://hub:8480'"),
        ("http://10.0.0.1", "plain http is for loopback only, use https, got 'http://10.0.0.1'"),
        ("ftp://hub", "expected http://HOST:PORT or https://HOST:PORT, got 'ftp://hub'"),
        ("hub:8480", "expected http://HOST:PORT or https://HOST:PORT, got 'hub:8480'"),
        ("https://", "expected http://HOST:PORT or https://HOST:PORT, got 'https://'"),
        ("https://hub:99999", "is not a URL (Port out of range 0-65535), got 'https://hub:99999'"),
        ("https://user:pw@hub", "a URL must not carry a password; use hub.secret"),
        ("https://hub:8480", ""),
        ("http://[::1]:8480", ""),
    ],
)
def test_hub_url(faults: Find, loaded: Callable[..., object], url: str, fault: str) -> None:
    change = ("hub:\n", f'hub:\n  url: "{url}"\n')
    if fault:
        assert faults(change) == [f"line.yaml:5: hub.url: {fault}"]
    else:
        loaded(change)


BROKER = "sparkplug:\n  brokers:\n    - {{ {} }}\nhub:"


@pytest.mark.parametrize(
    ("broker", "fault"),
    [
        ("host: b, password: { file: secret }", "6: sparkplug.brokers.0.password: needs a username beside it"),
        ("tls: { authority: gone }", "6: sparkplug.brokers.0.tls.authority: no readable file at gone"),
        (
            "tls: { key: secret }",
            "6: sparkplug.brokers.0.tls: certificate and key belong together, got only one of them",
        ),
    ],
)
def test_broker(faults: Find, broker: str, fault: str) -> None:
    assert f"line.yaml:{fault}" in faults(("hub:", BROKER.format(broker)))


def test_password_in_clear_is_warned_of(loaded: Callable[..., object]) -> None:
    change = BROKER.format("host: broker.plant, username: u, password: { file: secret }")
    config = loaded(("hub:", change))
    assert "the password travels in clear to broker.plant; add tls" in str(getattr(config, "warnings", ""))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("${NAME}", "environment variable NAME is not set"),
        ("'${NAME}'", "environment variable NAME is not set"),
        ("${NAME-x}", "expected ${NAME} or ${NAME:-default} ($${ for a plain ${), got '${NAME-x}'"),
        ("${}", "expected ${NAME} or ${NAME:-default} ($${ for a plain ${), got '${}'"),
        ("${NAME", "expected ${NAME} or ${NAME:-default} ($${ for a plain ${), got '${NAME'"),
        ("${1}", "expected ${NAME} or ${NAME:-default} ($${ for a plain ${), got '${1}'"),
    ],
)
def test_substitution(faults: Find, text: str, fault: str) -> None:
    assert faults(("port: 502", f"port: {text}")) == [f"line.yaml:10: sources.plc.options.port: {fault}"]


def test_substituted_value_is_checked(faults: Find) -> None:
    (found,) = faults(("port: 502", "port: ${PORT}"), environment={"PORT": "modbus"})
    assert found == "line.yaml:10: sources.plc.options.port: expected a whole number, got 'modbus'"


def laughs() -> str:
    """A few lines that would stand for a billion values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "1: expected the sections of a line (site, line, sources...), got none"),
        ("- 1", "1: expected the sections of a line (site, line, sources...), got none"),
        ("site: [1, 2\n", "2: is not YAML: did not find expected ',' or ']'"),
        ("a: b: c", "1: is not YAML: mapping values are not allowed in this context"),
        (
            "a: 1\nb: { c: ${X:-3} }",
            "2: is not YAML: did not find expected ',' or '}' (inside { } a ${NAME} needs quotes)",
        ),
        ("a: 1\n---\nb: 2", "2: is not YAML: a second document begins here, one file holds one"),
        ("a: *b", "1: is not YAML: *b stands for nothing above it"),
        ("a: &b [*b]", "1: is not YAML: *b stands for nothing above it"),
        ("[a]: b", "1: is not YAML: a key must be a word"),
        ("[" * 100_000, "1: is not YAML: is nested deeper than 40 levels"),
        (laughs(), "7: is not YAML: holds more than 2000000 values"),
    ],
    ids=range(11),
)
def test_not_a_configuration(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "line.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load(path, {}, kinds={})
    assert raised.value.faults == [f"{path}:{fault}"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [(b"\xff\xfe", "is not UTF-8 text, byte 0 is 0xff"), (b"a: \x01", "is not YAML: unacceptable character #x0001")],
)
def test_not_text(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "line.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"line.yaml:1: {fault}"):
        load(path, {}, kinds={})


@pytest.mark.parametrize("name", ["gone.yaml", ".", "nul\0"])
def test_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=":1: cannot be read: "):
        load(tmp_path / name, {}, kinds={})


class Unavailable(Mapping[str, ConnectorKind]):
    """Kinds whose library is not installed."""

    def __getitem__(self, name: str) -> ConnectorKind:
        raise MissingLibrary("asyncua", "opcua")

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(("device",))

    def __len__(self) -> int:
        return 1


def test_missing_library_names_the_extra(write: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError) as raised:
        load(write(), {}, kinds=Unavailable())
    (fault,) = raised.value.faults
    assert fault.endswith("line.yaml:8: sources.plc.kind: asyncua is not installed: pip install 'edged[opcua]'")

"""A sound configuration becomes what the daemon needs to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from edged.config import LineConfig, load, load_limits
from edged.errors import ConfigError
from edged.loop_kpi import LOOP_KPIS
from edged.registry import ConnectorKind
from edged.types import Limits, Signal, ValueType

Loaded = Callable[..., LineConfig]
ENVELOPE = "unit: degC, low: 1, high: 2, rate_per_second: 1, approval_threshold: 1"


def test_sound_line(loaded: Loaded, tmp_path: Path) -> None:
    config = loaded()
    assert config.warnings == ()
    assert config.path == tmp_path / "line.yaml"
    assert config.full("oven/risk") == "line_x/oven/risk"
    (source,) = config.sources
    assert (source.name, source.kind.name, source.silence_seconds) == ("plc", "device", 10.0)
    assert source.options.model_dump()["port"] == 502
    assert [binding.signal.path for binding in source.bindings][:2] == [
        "line_x/oven/temperature",
        "line_x/oven/setpoint",
    ]
    assert [binding.address.model_dump()["number"] for binding in source.bindings] == [1, 2, 3, 4, 5]


def test_signals_include_model_outputs(loaded: Loaded) -> None:
    signals = loaded().signals
    assert len(signals) == 6
    assert signals["line_x/oven/risk"] == Signal(
        "line_x/oven/risk", "1", ValueType.FLOAT, 0.0, 1.0, description="output of model risk"
    )
    with pytest.raises(TypeError):
        signals["line_x/oven/risk"] = signals["line_x/oven/remote"]  # type: ignore[index]


def test_limits_are_per_second_and_within_the_signal_range(loaded: Loaded) -> None:
    assert loaded().limits == (Limits("line_x/oven/setpoint", 100.0, 800.0, 0.5, 50.0, "degC"),)


def test_relative_paths_are_taken_from_the_folder_of_the_file(loaded: Loaded, tmp_path: Path) -> None:
    (tmp_path / "trusted").mkdir()
    config = loaded(("order: ABCD", "trust: ./trusted"))
    assert config.settings.data_directory == tmp_path / "data"
    assert config.settings.models[0].bundle == tmp_path / "bundle"
    assert config.settings.hub is not None
    assert config.settings.hub.secret.read() == "s3cret"
    assert config.sources[0].options.model_dump()["trust"] == tmp_path / "trusted"


def test_file_in_the_working_directory(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, kinds: Mapping[str, ConnectorKind]
) -> None:
    monkeypatch.chdir(write().parent)
    assert load(Path("line.yaml"), {}, kinds=kinds).settings.data_directory == Path.cwd() / "data"


@pytest.mark.parametrize(
    ("scalar", "environment", "port"),
    [
        ("${PORT}", {"PORT": "1883"}, 1883),
        ('"${PORT}"', {"PORT": "1883"}, 1883),
        ("${PORT:-1884}", {}, 1884),
        ("${PORT:-1884}", {"PORT": ""}, 1884),
        ('"${PORT:-1884}"', {"PORT": "1885"}, 1885),
        ("1${PORT}", {"PORT": "88"}, 188),
        ("0x10", {}, 16),
    ],
)
def test_substitution_reaches_numbers(loaded: Loaded, scalar: str, environment: dict[str, str], port: int) -> None:
    config = loaded(("port: 502", f"port: {scalar}"), environment=environment)
    assert config.sources[0].options.model_dump()["port"] == port


@pytest.mark.parametrize(
    ("text", "directory"),
    [
        ("a${X:-}b", "ab"),
        ("${X:-a:-b}", "a:-b"),
        ("a$${X}", "a${X}"),
        ("$.values", "$.values"),
        ("'on'", "on"),
        ("no", "no"),
    ],
)
def test_substitution_in_text(loaded: Loaded, tmp_path: Path, text: str, directory: str) -> None:
    assert loaded(("data_directory: data", f"data_directory: {text}")).settings.data_directory == tmp_path / directory


def test_anchors_are_followed(loaded: Loaded) -> None:
    config = loaded(("port: 502", "port: &port 502"), ("register: 1 }", "register: *port }"))
    assert config.sources[0].bindings[0].address.model_dump()["number"] == 502


def test_hash_is_of_the_content_alone(loaded: Loaded) -> None:
    plain = loaded().hash
    assert len(plain) == 16
    assert loaded(("site: works\nline: line_x", "# a comment\nline: 'line_x'\n\nsite: works")).hash == plain
    assert loaded(("port: 502", "port: 503")).hash != plain
    assert loaded(("port: 502", "port: ${PORT}"), environment={"PORT": "502"}).hash == plain


def test_empty_sections_take_their_defaults(loaded: Loaded) -> None:
    assert loaded(("order: ABCD", "order: CDAB")).settings.http.port == 8470


@pytest.mark.parametrize("missing", ["secret: { file: secret }", "ceiling: ceiling.yaml"])
def test_missing_files_can_be_tolerated(loaded: Loaded, tmp_path: Path, missing: str) -> None:
    config = loaded(
        (missing, missing.replace("secret }", "gone }").replace("ceiling.yaml", "gone")), tolerate_missing=True
    )
    (warning,) = config.warnings
    assert str(tmp_path / "gone") in warning
    assert "No such file or directory" in warning


def test_secret_from_the_environment(loaded: Loaded) -> None:
    config = loaded(("{ file: secret }", "{ environment: HUB }"), environment={"HUB": "x"})
    assert config.settings.hub is not None
    assert config.settings.hub.secret.place() == "environment variable HUB"


def test_secret_from_a_credential(loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hub").write_text("x")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert loaded(("{ file: secret }", "{ credential: hub }")).warnings == ()


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (("bundle: bundle", "bundle: nowhere"), "models.0.bundle: no model bundle at "),
        (("above: 850", "above: 900"), "alarm hot lies outside the range of oven/temperature"),
    ],
)
def test_warnings(loaded: Loaded, change: tuple[str, str], warning: str) -> None:
    (given,) = loaded(change).warnings
    assert warning in given


def test_limits_without_use_are_warned_of(write: Callable[..., Path], kinds: Mapping[str, ConnectorKind]) -> None:
    limits = f"  - {{ signal: oven/temperature, {ENVELOPE} }}\n"
    path = write(("    - { signal: oven/s", f"  {limits}    - {{ signal: oven/s"))
    with (path.parent / "ceiling.yaml").open("a", encoding="utf-8") as ceiling:
        ceiling.write(limits)
    (given,) = load(path, {}, kinds=kinds).warnings
    assert "limits for oven/temperature, which is not writable" in given


def test_commands_that_no_loop_would_carry_out_are_warned_of(
    write: Callable[..., Path], kinds: Mapping[str, ConnectorKind]
) -> None:
    path = write(("secret: { file: secret }", "secret: { file: secret }\n  commands: true"))
    assert load(path, {}, kinds=kinds).warnings == ()
    path.write_text(path.read_text().partition("control:")[0])
    (given,) = load(path, {}, kinds=kinds).warnings
    assert given.startswith(f"{path}:4: hub.commands has no use")


def test_files_open_to_others_are_warned_of(write: Callable[..., Path], kinds: Mapping[str, ConnectorKind]) -> None:
    path = write()
    (path.parent / "secret").chmod(0o644)
    (path.parent / "ceiling.yaml").chmod(0o666)
    warnings = load(path, {}, kinds=kinds).warnings
    assert [warning.rpartition(": ")[2] for warning in warnings] == [
        f"chmod 600 {path.parent}/secret",
        f"chmod 644 {path.parent}/ceiling.yaml",
    ]


def test_ceiling(write: Callable[..., Path]) -> None:
    path = write().parent / "ceiling.yaml"
    assert load_limits(path, "line_x") == (Limits("line_x/oven/setpoint", 0.0, 700.0, 1.0, 60.0, "degC"),)
    assert load_limits(path)[0].signal == "oven/setpoint"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("low: 0, high: 700", "low: 700, high: 0", "limits.0: low must be below high, got low 700.0 and high 0.0"),
        ("high: 700", "high: .nan", "limits.0.high: expected a finite number, got nan"),
        ("high: 700", "high: .inf", "limits.0.high: expected a finite number, got inf"),
        ("degC", "C", "limits.0.unit: unknown unit, got 'C', did you mean 'degC'?"),
        ("rate_per_hour: 3600", "rate_per_hour: -1", "limits.0.rate_per_hour: must be greater than 0, got -1"),
        ("rate_per_hour: 3600, ", "", "limits.0: name exactly one of rate_per_second, rate_per_minute, rate_per_hour"),
        ("high: 700", "high: '${HIGH:-700}'", "limits.0.high: expected a number, got '${HIGH:-700}'"),
        ("limits:", "limit:", "limit: unknown key, did you mean 'limits'?"),
    ],
)
def test_ceiling_faults(write: Callable[..., Path], old: str, new: str, fault: str) -> None:
    path = write().parent / "ceiling.yaml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ConfigError) as raised:
        load_limits(path)
    assert fault in [text.split(": ", 1)[1] for text in raised.value.faults]


def test_ceiling_names_a_signal_once(write: Callable[..., Path]) -> None:
    path = write().parent / "ceiling.yaml"
    path.write_text(path.read_text() + path.read_text().partition("\n")[2])
    with pytest.raises(
        ConfigError, match=r"ceiling\.yaml:3: limits\.1\.signal: duplicate limits of 'oven/setpoint', first on line 2"
    ):
        load_limits(path)


def test_ceiling_faults_show_when_the_line_is_checked(
    write: Callable[..., Path], kinds: Mapping[str, ConnectorKind]
) -> None:
    path = write()
    (path.parent / "ceiling.yaml").write_text("limits: 5\n")
    with pytest.raises(ConfigError, match=r"ceiling\.yaml:1: limits: expected a list, got 5"):
        load(path, {}, kinds=kinds)


def test_example_line_loads(project: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    config = load(project / "configs/line-a.yaml", {"EDGED_HUB_SECRET": str(secret)})
    assert [source.kind.name for source in config.sources] == ["opcua", "modbus", "mqtt"]
    outputs = len(config.settings.models) + len(LOOP_KPIS)
    assert len(config.signals) == sum(len(source.bindings) for source in config.sources) + outputs
    assert {limit.signal: (limit.low, limit.high) for limit in config.limits}[
        "line_a/forming/forming_pressure_setpoint"
    ] == (0, 100)
    assert all(signal.description for signal in config.signals.values())

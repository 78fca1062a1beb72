"""What the control of a line is built from, apart from what it talks to: enough to build it again elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edged.config import LineConfig, load_limits
from edged.settings import ControlSettings
from edged.types import Limits, Signal, ValueType
from edged_control.ladder.controllers import load_models
from edged_control.process_model.linear import Artefact, decoded, encoded

ELSEWHERE = (
    "config_hash",
    "settings.ceiling",
    "settings.operators",
    "settings.engineering_keys",
    "settings.kpis",
    "settings.flight",
)


@dataclass(frozen=True, slots=True)
class Blueprint:
    """`ceiling` and `limits` name full paths; `models` are those of the loops under MPC."""

    line: str
    config_hash: str
    settings: ControlSettings
    signals: Mapping[str, Signal]
    ceiling: Sequence[Limits]
    limits: Sequence[Limits]
    models: Mapping[str, Artefact]

    def plain(self) -> dict[str, Any]:
        """As plain values; of the signals those that control can name."""
        named = self._named()
        return {
            "line": self.line,
            "config_hash": self.config_hash,
            "settings": self.settings.model_dump(mode="json"),
            "signals": [asdict(signal) for path, signal in sorted(self.signals.items()) if path in named],
            "ceiling": [asdict(limits) for limits in self.ceiling],
            "limits": [asdict(limits) for limits in self.limits],
            "models": {loop: encoded(artefact) for loop, artefact in self.models.items()},
        }

    def _named(self) -> set[str]:
        settings, names = self.settings, set()
        for loop in settings.loops:
            conditions = [*loop.permissives, loop.running]
            names |= {loop.process_value, loop.output, loop.readback, loop.heartbeat}
            names |= {condition.signal for condition in conditions if condition is not None}
        state = settings.line_state
        names |= {condition.signal for condition in (state.running, state.changeover) if condition is not None}
        names |= {state.grade, settings.rollback.defect_rate if settings.rollback else None}
        limited = {limits.signal for limits in (*self.ceiling, *self.limits)}
        return limited | {f"{self.line}/{name}" for name in names if name is not None}


def blueprint_of(config: LineConfig) -> Blueprint:
    """What a configuration with control says. Raises ConfigError for a ceiling or a model that can't be read."""
    control = config.settings.control
    assert control is not None
    line = config.settings.line
    ceiling, models = load_limits(control.ceiling, line), load_models(config).by_loop
    return Blueprint(line, config.hash, control, config.signals, ceiling, config.limits, models)


def read_blueprint(plain: Mapping[str, Any]) -> Blueprint:
    """The blueprint again. Raises ValueError, KeyError, TypeError or UnusableModel for what is none."""
    return Blueprint(
        line=plain["line"],
        config_hash=plain["config_hash"],
        settings=ControlSettings.model_validate(plain["settings"]),
        signals={
            signal["path"]: Signal(**{**signal, "type": ValueType(signal["type"])}) for signal in plain["signals"]
        },
        ceiling=[Limits(**limits) for limits in plain["ceiling"]],
        limits=[Limits(**limits) for limits in plain["limits"]],
        models={loop: decoded(text.encode(), f"model of {loop}") for loop, text in plain["models"].items()},
    )


def differences(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What two plain blueprints say differently, one line each: `settings.loops.thickness.set_point: 4.0, now 4.2`."""
    found = _apart("", recorded, now)
    return [f"{path}: {before}, now {after}" for path, before, after in found if not _is_elsewhere(path)]


def _is_elsewhere(path: str) -> bool:
    """Where files lie and what is kept of control decides nothing; what is in the files is compared by itself."""
    return path.startswith(ELSEWHERE) or path.endswith(".controller.model")


def _apart(path: str, before: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    if before == now:
        return
    before, now = _by_name(before), _by_name(now)
    if not (isinstance(before, dict) and isinstance(now, dict)):
        yield path, before, now
        return
    for key in sorted(before.keys() | now.keys()):
        yield from _apart(f"{path}.{key}".lstrip("."), before.get(key), now.get(key))


def _by_name(value: Any) -> Any:
    """A list of named things as a mapping, so that one that is missing does not shift all others."""
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        for key in ("name", "signal", "path"):
            if all(key in one for one in value):
                return {one[key]: one for one in value}
    return value

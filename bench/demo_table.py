"""What the demo shows while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.line import LineStack
from bench.live_check import Checked


@dataclass
class Tally:
    """What the table shows and the summary judges, as of the last refresh."""

    seconds: float = 0.0
    status: dict[str, Any] | None = None
    hub_rows: int = 0
    checked: Checked | None = None
    sparkplug_values: int = 0
    scenes: Sequence[str] = ()


def table_lines(tally: Tally, status: dict[str, Any]) -> list[str]:
    """The live table."""
    lines = [f"edged {status['line']}   {tally.seconds:5.0f} s   Ctrl-C stops everything", ""]
    lines += [f"  {s['name']:<12} {s['state']:<10} {s['samples']:>9,} values in" for s in status["sources"]]
    outbox, hub, sparkplug = status["outbox"], status["hub"], status["sparkplug"]
    depth = next(sink["process_batches"] for sink in outbox["sinks"] if sink["name"] == "hub")
    lines.append(
        f"  outbox       {'writable' if outbox['degraded'] == '' else 'DEGRADED':<10} {depth:>9,} batches deep"
    )
    lines.append(
        f"  hub          {'connected' if hub['connected'] else 'offline':<10} {tally.hub_rows:>9,} values held"
    )
    online = "online" if sparkplug["online"] else "offline"
    lines.append(f"  sparkplug    {online:<10} {tally.sparkplug_values:>9,} values seen by a host")
    for model in status["models"]:
        said = f"{model['probability']:.3f}" if model["probability"] is not None else model["reason"]
        lines.append(f"  model        {model['name']:<10} {said:>9} ({model['predictions']} predictions)")
    for loop in status["loops"]:
        values = f"pv {shown(loop['process_value'])}  out {shown(loop['output'])}  set-point {shown(loop['set_point'])}"
        mode = f"{loop['actual_mode']} {loop['controller']}"
        lines.append(f"  loop         {mode:<10} {loop['verified_writes']:>9,} verified writes   {values}")
    if tally.checked:
        checked = tally.checked
        lines += ["", f"  checked at {checked.seconds:.0f} s: {counts(checked)}"]
        lines.append(f"  source to hub: p50 {checked.p50_milliseconds:.0f} ms, p99 {checked.p99_milliseconds:.0f} ms")
    alarms = [f"  ALARM {alarm['priority']} {alarm['name']}: {alarm['message']}" for alarm in status["alarms"]]
    for part in (alarms, tally.scenes):
        if part:
            lines += ["", *part]
    return lines


def summary_line(tally: Tally, status: dict[str, Any]) -> str:
    """One line for logs, where no table can be redrawn."""
    writes = sum(loop["verified_writes"] for loop in status["loops"])
    checked = counts(tally.checked) if tally.checked else "not checked"
    return (
        f"{tally.seconds:4.0f} s: {status['samples']:,} values in, {tally.hub_rows:,} in the hub, "
        f"{tally.sparkplug_values:,} on Sparkplug, {writes} verified writes, {checked}"
    )


def shown(value: float | None) -> str:
    """A number, or a dash while there is none."""
    return f"{value:.2f}" if value is not None else "-"


def counts(checked: Checked) -> str:
    """What a check found, in words."""
    return f"{checked.lost} lost, {checked.duplicated} duplicated, {checked.out_of_order} out of order"


def places(stack: LineStack, plant: str) -> list[str]:
    """Where to look at the running parts."""
    return [
        f"edged   {stack.status_url}   metrics http://127.0.0.1:{stack.http_port}/metrics",
        f"hub     {stack.hub_url}/api/v1/status   token in {stack.hub_data / 'admin.token'}",
        f"plant   {plant}",
        f"broker  mqtt://127.0.0.1:{stack.mqtt_port}   topics spBv1.0/#   logs in {stack.folder}",
    ]

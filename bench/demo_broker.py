"""Which MQTT broker the demo's line runs on."""

from __future__ import annotations

from pathlib import Path

from bench.line import LineStack
from bench.processes import Process, StackFailed, listens, mosquitto, program, wait_until

BROKERS = ("auto", "mosquitto", "embedded")


class EmbeddedBrokerLine(LineStack):
    """A line on the embedded broker, whether mosquitto is installed or not."""

    def __init__(self, folder: Path, *, node: str) -> None:
        super().__init__(folder, node=node)
        self.real_broker = False

    def start_broker(self, *, core: int | None = None) -> Process:
        """MQTT 3.1.1, nothing persistent."""
        arguments = [program("edged-sim"), "broker", "--port", str(self.mqtt_port)]
        broker = self.start("broker", arguments, core=core)
        wait_until("the MQTT broker", lambda: listens(self.mqtt_port), broker)
        return broker


def line_with(broker: str, folder: Path, node: str) -> LineStack:
    """A line on the broker of that name. Raises StackFailed where it is not installed."""
    if broker == "embedded":
        return EmbeddedBrokerLine(folder, node=node)
    if broker == "mosquitto" and mosquitto() is None:
        raise StackFailed("mosquitto is not installed: apt-get install mosquitto, or --broker embedded")
    return LineStack(folder, node=node)

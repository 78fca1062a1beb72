"""The command `edged sparkplug-check`: grades any Sparkplug B edge node."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edged.clock import Clock, SystemClock
from edged.errors import ConfigError, EdgedError
from edged.settings import BrokerSettings, Secret, Tls
from edged.subcommand import FAILED, WRONG_INPUT, Commands, add_command
from edged.supervise import start_task

if TYPE_CHECKING:
    from edged_connectors.north.check import Checker
    from edged_connectors.north.check_capture import Captured, CaptureWriter
    from edged_connectors.north.check_listen import Watch

DEFAULT_SECONDS = 60.0
PROGRESS_SECONDS = 5.0
PORT, TLS_PORT = 1883, 8883

EXAMPLE = """\
example:
  edged sparkplug-check 192.168.0.11 --seconds 120 --rebirth
  edged sparkplug-check broker.example --tls --username viewer --password-file mqtt-password --group works --node line_1
  edged sparkplug-check 127.0.0.1:1883 --record session.jsonl
  edged sparkplug-check --capture session.jsonl

Every violation is a line: when, topic, seq, rule, metric. Tables of all nodes follow. A node that was born before the
check began is judged fully from its next NBIRTH on; --rebirth publishes an NCMD that asks it for one, nothing else is
ever published. The rules: docs/how-to/check-an-edge-node.md

exit status: 0 no violation, 1 violations, 2 wrong usage, no connection, or nothing to judge
"""


def add_sparkplug_check(commands: Commands) -> None:
    """Declares the command."""
    parser = add_command(
        commands, "sparkplug-check", "grade the Sparkplug edge nodes at a broker", EXAMPLE, _sparkplug_check
    )
    parser.add_argument("broker", nargs="?", metavar="BROKER", help="HOST or HOST:PORT to listen to")
    parser.add_argument("--capture", type=Path, metavar="FILE", help="read this recording instead")
    parser.add_argument("--record", type=Path, metavar="FILE", help="keep what was heard, for --capture")
    parser.add_argument("--seconds", type=_seconds, default=DEFAULT_SECONDS, help="how long to listen (default 60)")
    parser.add_argument("--group", help="only nodes of this group")
    parser.add_argument("--node", help="only nodes of this name")
    parser.add_argument("--rebirth", action="store_true", help="ask nodes that are born already for their births")
    parser.add_argument("--from-birth", action="store_true", help="whatever comes before an NBIRTH is a violation")
    parser.add_argument("--all", action="store_true", help="print every violation, not just the first of a kind")
    parser.add_argument("--protocol", choices=("5", "3.1.1"), default="5", help="MQTT version; 5 shows the retain flag")
    parser.add_argument("--username")
    parser.add_argument("--password-file", type=Path, metavar="FILE")
    parser.add_argument("--tls", action="store_true", help="TLS with the system's authorities")
    parser.add_argument("--authority", type=Path, metavar="FILE", help="CA certificates (PEM) for TLS")
    parser.add_argument("--certificate", type=Path, metavar="FILE", help="our certificate (PEM), for mutual TLS")
    parser.add_argument("--key", type=Path, metavar="FILE", help="our private key (PEM)")


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < threading.TIMEOUT_MAX:
        raise ValueError(text)
    return value


def _sparkplug_check(options: argparse.Namespace) -> int:
    if (options.broker is None) == (options.capture is None):
        raise ConfigError(["name either a BROKER to listen to or a --capture to read"])
    if options.capture is not None and (options.record or options.rebirth):
        raise ConfigError(["--record and --rebirth need a BROKER, not a --capture"])
    try:
        return _Check(options).run()
    except ConfigError:
        raise
    except EdgedError as fault:
        print(f"edged: {fault}", file=sys.stderr)
        return WRONG_INPUT


class _Check:
    """One run of the command."""

    def __init__(self, options: argparse.Namespace) -> None:
        from edged_connectors.north.check import Checker
        from edged_connectors.north.check_report import Teller

        self._options = options
        self._checker: Checker = Checker(group=options.group, node=options.node, from_birth=options.from_birth)
        self._teller = Teller(everything=options.all)
        self._writer: CaptureWriter | None = None

    def run(self) -> int:
        """The exit status. What was graded is told even when the connection breaks."""
        try:
            faults = self._read(self._options.capture) if self._options.capture else self._listen()
        finally:
            self._tell()
        if faults:
            raise ConfigError(faults)
        if self._checker.violations:
            return FAILED
        return WRONG_INPUT if self._checker.ungraded or not self._checker.messages else 0

    def _take(self, message: Captured) -> None:
        if self._writer is not None:
            self._writer.write(message)
        for line in self._teller.lines(message, self._checker.take(message)):
            print(line)

    def _tell(self) -> None:
        from edged_connectors.north.check_report import summary

        for line in summary(self._checker):
            print(line)

    def _read(self, path: Path) -> list[str]:
        from edged_connectors.north.check_capture import CaptureReader

        reader = CaptureReader(path)
        for message in reader:
            self._take(message)
        return reader.faults

    def _listen(self) -> list[str]:
        import aiomqtt

        from edged_connectors.north.check_capture import CaptureWriter
        from edged_connectors.north.check_listen import Watch, Watched

        options, clock = self._options, SystemClock()
        version = aiomqtt.ProtocolVersion.V5 if options.protocol == "5" else aiomqtt.ProtocolVersion.V311
        broker = _broker(options)
        watched = Watched(broker, version, options.group, options.node, options.seconds, options.rebirth)
        with ExitStack() as files:
            if options.record is not None:
                self._writer = files.enter_context(CaptureWriter(options.record))
            watch = Watch(watched, clock, self._take, self._checker.take_unborn)
            print(f"listening to {broker.host}:{broker.port} for {options.seconds:g} s", file=sys.stderr)
            asyncio.run(self._watch(watch, clock))
        return []

    async def _watch(self, watch: Watch, clock: Clock) -> None:
        stop = asyncio.Event()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
        progress = start_task("progress", self._show_progress(clock))
        try:
            await watch.run(stop)
        finally:
            progress.cancel()
            await asyncio.wait({progress})

    async def _show_progress(self, clock: Clock) -> None:
        began = clock.monotonic()
        while True:
            await clock.sleep(PROGRESS_SECONDS)
            checker = self._checker
            nodes = sum(tally.is_node for tally in checker.senders.values())
            print(
                f"{clock.monotonic() - began:.0f} s: {nodes} nodes, {checker.messages} messages, "
                f"{checker.violations} violations",
                file=sys.stderr,
            )


def _broker(options: argparse.Namespace) -> BrokerSettings:
    """Raises ConfigError."""
    tls = options.tls or options.authority is not None or options.certificate is not None
    host, port = _address(options.broker, TLS_PORT if tls else PORT)
    if options.password_file and not options.username:
        raise ConfigError(["--password-file needs --username"])
    if (options.certificate is None) != (options.key is None):
        raise ConfigError(["--certificate and --key belong together"])
    return BrokerSettings(
        host=host,
        port=port,
        tls=Tls(authority=options.authority, certificate=options.certificate, key=options.key) if tls else None,
        username=options.username,
        password=Secret(file=options.password_file) if options.password_file else None,
    )


def _address(text: str, default_port: int) -> tuple[str, int]:
    try:
        address = urlsplit(f"//{text}")
        host, port = address.hostname, address.port
    except ValueError:
        host, port = None, None
    if not host or address.netloc != text or "@" in text or port == 0:
        raise ConfigError([f"BROKER: expected HOST or HOST:PORT, got {text!r}"])
    return host, port or default_port

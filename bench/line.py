"""The whole line as processes: simulated plant, broker, hub and daemon, on free loopback ports."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import IO, Any

from bench.processes import (
    PROJECT,
    Process,
    Stack,
    StackFailed,
    descendants,
    fetch,
    free_port,
    listens,
    mosquitto,
    program,
    wait_until,
    write_mosquitto_config,
)

NODE = "line_a"
CEILING = PROJECT / "configs" / "ceiling-line-a.yaml"
READ_ONLY = 0o444
SOLVER = b"edged_control.solver.worker"
FACES = ("opcua", "modbus", "mqtt")


class LineStack(Stack):
    """Starts each part by name; parts may be killed and started again on the same ports."""

    def __init__(self, folder: Path, *, node: str = NODE) -> None:
        self._lock, folder = _claim(folder)
        shutil.rmtree(folder, ignore_errors=True)
        super().__init__(folder)
        self.node = node
        self.journal = folder / "journal"
        self.hub_data = folder / "hub"
        self.edge_data = folder / "edge"
        self.secret = folder / "hub-secret"
        self.operators = folder / "operators.json"
        self.engineers = folder / "engineers.pub"
        self.ceiling = folder / "ceiling.yaml"
        self.use_ceiling(CEILING)
        self.ready = folder / "plant.json"
        self.database: Path | None = None
        """A file with the DSN of the hub's PostgreSQL; its own SQLite file when there is none."""
        self.overrides: dict[str, str] = {}
        """Set in the daemon's environment in place of what stands here."""
        self.mqtt_port = free_port()
        self.hub_port = free_port()
        self.http_port = free_port()
        self.opcua_port = free_port()
        self.modbus_port = free_port()
        self.real_broker = mosquitto() is not None
        self.status_url = f"http://127.0.0.1:{self.http_port}/status"
        self.hub_url = f"http://127.0.0.1:{self.hub_port}"

    def use_ceiling(self, source: Path) -> None:
        """The limits that no configuration may widen, as they stand there; nobody may write the line's copy."""
        self.ceiling.unlink(missing_ok=True)
        self.ceiling.write_bytes(source.read_bytes())
        self.ceiling.chmod(READ_ONLY)

    def start_broker(self, *, core: int | None = None) -> Process:
        """mosquitto where it is installed, else the embedded broker (MQTT 3.1.1, for the demo only)."""
        path = mosquitto()
        if path:
            config = write_mosquitto_config(self.folder, self.mqtt_port)
            broker = self.start("broker", [path, "-c", str(config)], core=core)
        else:
            embedded = [program("edged-sim"), "broker", "--port", str(self.mqtt_port)]
            broker = self.start("broker", embedded, core=core)
        wait_until("the MQTT broker", lambda: listens(self.mqtt_port), broker)
        return broker

    def start_hub(self, *, core: int | None = None) -> Process:
        """The hub, and on the first start the edge's identity."""
        arguments = [program("edged-hub"), "run", *self._hub_place(), "--port", str(self.hub_port)]
        hub = self.start("hub", arguments, core=core)
        wait_until("the hub", lambda: fetch(f"{self.hub_url}/readyz") is not None, hub)
        if not self.secret.exists():
            self.enroll()
        return hub

    def enroll(self) -> None:
        """Gives the edge its secret."""
        arguments = [program("edged-hub"), "enroll", self.node, *self._hub_place(), "--out", str(self.secret)]
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)

    def start_plant(
        self, scenario: Path, *options: str, restart_seconds: float = 10.0, core: int | None = None
    ) -> Process:
        """The simulated line behind its three faces; further options of `edged-sim run`."""
        ports = ["--opcua-port", self.opcua_port, "--modbus-port", self.modbus_port, "--mqtt-port", self.mqtt_port]
        arguments = [program("edged-sim"), "run", "--scenario", scenario, *ports, "--journal", self.journal]
        arguments += ["--ready-file", self.ready, "--restart-seconds", restart_seconds]
        arguments += ["--mqtt-protocol", self.environment()["EDGED_MQTT_PROTOCOL"], *options]
        plant = self.start("plant", [str(word) for word in arguments], core=core)
        wait_until("the simulated plant", self.ready.exists, plant)
        return plant

    def face_pid(self, face: str) -> int:
        """The process of one face; it changes when the plant restarts it."""
        return int(json.loads(self.ready.read_text(encoding="utf-8"))["faces"][face])

    def start_edge(self, config: Path | None = None, *, core: int | None = None) -> Process:
        """The daemon."""
        path = config or PROJECT / "configs" / "line-a.yaml"
        return self.start("edged", [program("edged"), "run", str(path)], environment=self.environment(), core=core)

    def solver_pid(self) -> int:
        """The process that solves for the daemon's loops under MPC. Raises StackFailed where there is none."""
        for pid in descendants(self.processes["edged"].pid):
            with contextlib.suppress(OSError):
                if SOLVER in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return pid
        raise StackFailed("no solver runs")

    def environment(self) -> dict[str, str]:
        """What configs/line-a.yaml takes from the environment."""
        return {
            "EDGED_DATA_DIRECTORY": str(self.edge_data),
            "EDGED_HTTP_PORT": str(self.http_port),
            "EDGED_HUB_URL": self.hub_url,
            "EDGED_HUB_SECRET": str(self.secret),
            "EDGED_OPERATORS": str(self.operators),
            "EDGED_ENGINEERING_KEYS": str(self.engineers),
            "EDGED_CEILING": str(self.ceiling),
            "RUNTIME_DIRECTORY": str(self.folder / "runtime"),
            "EDGED_MQTT_PORT": str(self.mqtt_port),
            "EDGED_MQTT_PROTOCOL": "5" if self.real_broker else "3.1.1",
            "EDGED_OPCUA_PORT": str(self.opcua_port),
            "EDGED_MODBUS_PORT": str(self.modbus_port),
            **self.overrides,
        }

    def status(self) -> dict[str, Any] | None:
        """The daemon's /status, or None while it does not answer."""
        body = fetch(self.status_url)
        return json.loads(body) if body else None

    def hub_page(self, path: str) -> dict[str, Any] | None:
        """A page of the hub's API, read as its administrator."""
        token = self.hub_data / "admin.token"
        body = fetch(self.hub_url + path, token.read_text(encoding="utf-8").strip()) if token.exists() else None
        return json.loads(body) if body else None

    def wait_for_data(self, seconds: float = 60.0) -> None:
        """Returns when every source of the daemon has delivered something."""
        wait_until("data from every source", self._all_sources_live, self.processes["edged"], seconds)

    def wait_until_drained(self, seconds: float = 120.0) -> None:
        """Returns when the hub has confirmed all that the outbox holds now, while sources may go on."""
        began = time.monotonic()
        wait_until("the outbox to drain", lambda: self._drained(began), self.processes["edged"], seconds)

    def stop_edge(self) -> int:
        """Stops the daemon cleanly: it flushes first. Returns its exit status."""
        return self.processes["edged"].stop()

    def stop(self) -> None:
        """Stops everything that is left and gives the folder free."""
        super().stop()
        self._lock.close()

    def _hub_place(self) -> list[str]:
        database = [] if self.database is None else ["--database-file", str(self.database)]
        return ["--data", str(self.hub_data), *database]

    def _all_sources_live(self) -> bool:
        status = self.status()
        return status is not None and all(source["samples"] > 0 for source in status["sources"])

    def _drained(self, since: float) -> bool:
        """What waits for the hub, if anything, came after that moment."""
        status = self.status()
        if status is None or not status["hub"]["connected"]:
            return False
        oldest = next(sink["oldest_age_seconds"] for sink in status["outbox"]["sinks"] if sink["name"] == "hub")
        return oldest is None or 0.0 <= oldest < time.monotonic() - since  # below 0 after a clock was set back


def _claim(folder: Path) -> tuple[IO[str], Path]:
    """The folder, or one of its own beside it while another stack runs there; free again when the lock is closed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for place in (folder, folder.with_name(f"{folder.name}-{os.getpid()}")):
        lock = place.with_name(f"{place.name}.lock").open("w", encoding="utf-8")
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock, place
        lock.close()
    raise StackFailed(f"{folder} is in use")


def wall_milliseconds() -> int:
    """Wall time in ms UTC, as journals and rows carry it."""
    return time.time_ns() // 1_000_000

"""The line of the drills: behind proxies where asked for, heard by a primary host that keeps everything."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import yaml

from bench.line import LineStack, wall_milliseconds
from bench.postgres_server import PostgresServer
from bench.processes import PROJECT, Process, wait_until
from bench.proxy import Proxy
from bench.sparkplug_host import SparkplugHost

SCENARIO = PROJECT / "configs" / "scenarios" / "drill.yaml"
EXAMPLE = PROJECT / "configs" / "line-a.yaml"
PRIMARY_HOST = "drill-host"
RESTART_SECONDS = 10.0
SPARKPLUG_BATCHES = 3
"""So few wait for the next publishing period when nothing else waits."""
DRAIN_SECONDS = 120.0

Config = dict[str, Any]


class DrillLine(LineStack):
    """What a drill may break."""

    def __init__(self, folder: Path, *, kills: int = 5) -> None:
        super().__init__(folder)
        self.kills = kills
        """How often the drill with many kills kills."""
        self.host: SparkplugHost | None = None
        self.proxies: dict[str, Proxy] = {}
        self.postgres: PostgresServer | None = None
        self.edge_started = 0
        """ms UTC; 0 while the first daemon runs."""
        self._config: Path | None = None
        self._around = ExitStack()

    @property
    def hub_rows(self) -> Path | str:
        """Where the checker reads: the hub's file, or the DSN of its PostgreSQL."""
        return self.postgres.dsn if self.postgres else self.hub_data / "hub.db"

    def start_surroundings(self) -> None:
        """Broker, primary host and hub."""
        self.start_broker()
        self.host = SparkplugHost(self.mqtt_port, primary=PRIMARY_HOST)
        self._around.callback(self.host.close)
        self.start_hub()

    def start_glass_plant(self, *options: str) -> None:
        """The simulated plant, steady."""
        self.start_plant(SCENARIO, *options, restart_seconds=RESTART_SECONDS)

    def start_postgres(self) -> PostgresServer:
        """The hub keeps its rows there when it is started afterwards."""
        self.postgres = self._around.enter_context(PostgresServer())
        self.database = self.folder / "database"
        self.database.write_text(self.postgres.dsn, encoding="utf-8")
        return self.postgres

    def proxy(self, name: str, target: int, variable: str = "") -> Proxy:
        """Before a server; with a variable the daemon finds it there."""
        made = self.proxies[name] = self._around.enter_context(Proxy(target))
        if variable:
            self.overrides[variable] = str(made.port)
        return made

    def glass_config(self, change: Callable[[Config], object] | None = None) -> Path:
        """configs/line-a.yaml with a primary host, and with what a drill changes in it."""
        config: Config = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
        config["sparkplug"]["primary_host"] = PRIMARY_HOST
        config["models"][0]["bundle"] = str(EXAMPLE.parent / config["models"][0]["bundle"])
        controller = config["control"]["loops"][0]["controller"]
        controller["model"] = str(EXAMPLE.parent / controller["model"])
        if change is not None:
            change(config)
        path = self.folder / "line.yaml"
        path.write_text(json.dumps(config), encoding="utf-8")
        return path

    def enter(self, surrounding: AbstractContextManager[object]) -> None:
        """Stays in it until the line stops."""
        self._around.enter_context(surrounding)

    def start_edge(self, config: Path | None = None, *, core: int | None = None) -> Process:
        """The daemon, the next times with the same configuration."""
        if self._config is not None:
            self.edge_started = wall_milliseconds()
        self._config = config or self._config
        return super().start_edge(self._config, core=core)

    def received(self) -> dict[str, int]:
        """How many values each source has brought since the daemon's start, as the daemon says."""
        status = self.status()
        assert status is not None
        return {source["name"]: source["samples"] for source in status["sources"]}

    def wait_until_sparkplug_drained(self) -> None:
        """Returns when the Sparkplug node owes no more than what just came."""
        wait_until("Sparkplug to drain", self._sparkplug_drained, self.processes["edged"], DRAIN_SECONDS)

    def stop(self) -> None:
        """Everything, what stands around the processes last."""
        super().stop()
        self._around.close()

    def _sparkplug_drained(self) -> bool:
        status = self.status()
        if status is None:
            return False
        waiting = [s["process_batches"] for s in status["outbox"]["sinks"] if s["name"] == "sparkplug"]
        return all(count <= SPARKPLUG_BATCHES for count in waiting)

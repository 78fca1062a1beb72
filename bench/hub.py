"""A hub process over either store for the benchmarks, and edges that post to it over their own connections."""

from __future__ import annotations

import http.client
import sqlite3
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

from bench.postgres_server import PostgresServer
from bench.processes import Process, fetch, free_port, wait_until
from edged_cloud_sync.wire import CONTENT_TYPE, INGEST_PATH, Envelope, WireBatch, encode_envelope

ENROLL_SECONDS = 30.0
PATIENCE_SECONDS = 60.0
SAMPLES_SIZE = "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'sample_rows'::regclass"


class BenchHub:
    """`edged-hub run` on a SQLite file, or on PostgreSQL when a server is given."""

    def __init__(self, folder: Path, server: PostgresServer | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._server = server
        self._port = free_port()
        self._data = folder / "hub"
        self._place = ["--data", str(self._data)]
        if server is not None:
            address = folder / "database"
            address.write_text(server.dsn, encoding="utf-8")
            self._place += ["--database-file", str(address)]
        self._reading = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_SECONDS)
        self._process = Process("hub", [*_command("run"), *self._place, "--port", str(self._port)], folder)

    def __enter__(self) -> Self:
        url = f"http://127.0.0.1:{self._port}/readyz"
        wait_until("the hub", lambda: fetch(url) is not None, self._process)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()

    @property
    def rows_file(self) -> Path:
        """The embedded store's file."""
        return self._data / "hub.db"

    def cpu_seconds(self) -> float:
        """User + system seconds of the hub alone."""
        return self._process.cpu_seconds()

    def enroll(self, node: str) -> Edge:
        """A new edge."""
        secret = self._folder / f"secret-{node}"
        Process(f"enroll-{node}", [*_command("enroll"), node, *self._place, "--out", str(secret)], self._folder).wait(
            ENROLL_SECONDS
        )
        return Edge(self._port, node, secret.read_text(encoding="utf-8").strip())

    def get(self, route: str, **parameters: str) -> bytes:
        """The body of a GET of the read API, over a connection that is kept."""
        token = (self._data / "admin.token").read_text(encoding="utf-8").strip()
        query, headers = f"/api/v1/{route}?{urlencode(parameters)}", {"Authorization": f"Bearer {token}"}
        self._reading.request("GET", query, headers=headers)
        try:
            answer = self._reading.getresponse()
        except http.client.RemoteDisconnected:  # the hub closes connections that were idle for more than a minute
            self._reading.request("GET", query, headers=headers)
            answer = self._reading.getresponse()
        body = answer.read()
        if answer.status != http.client.OK:
            raise SystemExit(f"the hub answered {answer.status}: {body.decode()}")
        return body

    def bytes_on_disk(self) -> int:
        """Of all samples with their indexes."""
        if self._server is None:
            with closing(sqlite3.connect(self.rows_file)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return self.rows_file.stat().st_size
        return int(self._server.run(SAMPLES_SIZE))


class Edge:
    """Posts one body after the other over one connection, as an uplink does."""

    def __init__(self, port: int, node: str, secret: str) -> None:
        self.node = node
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        self._headers = {"Authorization": f"Bearer {secret}", "Content-Type": CONTENT_TYPE}

    def bodies(self, batches: Sequence[WireBatch], per_post: int) -> list[bytes]:
        """The POSTs of these batches."""
        starts = range(0, len(batches), per_post)
        return [encode_envelope(Envelope(self.node, batches[start : start + per_post])) for start in starts]

    def post(self, bodies: Sequence[bytes]) -> None:
        """Raises SystemExit when one is not accepted."""
        for body in bodies:
            self._connection.request("POST", INGEST_PATH, body, self._headers)
            answer = self._connection.getresponse()
            text = answer.read()
            if answer.status != http.client.OK:
                raise SystemExit(f"the hub answered {answer.status}: {text.decode()}")


def post_together(work: Sequence[tuple[Edge, Sequence[bytes]]]) -> None:
    """All edges at the same time."""
    with ThreadPoolExecutor(len(work)) as threads:
        for done in [threads.submit(edge.post, bodies) for edge, bodies in work]:
            done.result()


def _command(name: str) -> list[str]:
    return [sys.executable, "-m", "edged_hub", name]

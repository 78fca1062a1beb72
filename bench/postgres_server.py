"""A PostgreSQL server of our own for tests and benchmarks: in a temporary folder, on a free loopback port, fsync on.

PostgreSQL refuses to run as root, so root starts it as the user `postgres`, which the Debian package makes.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.processes import StackFailed, cpu_seconds, descendants, free_port, wait_until

PROGRAMS = Path("/usr/lib/postgresql")
USER = "edged"
PASSWORD = "postgres-Test-Secret"
DATABASE = "edged"
STOP_SECONDS = 30.0
READY_SECONDS = 60.0
SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "listen_addresses": "127.0.0.1",
    "log_checkpoints": "off",
    "max_connections": "60",
    "max_wal_size": "4GB",
    "shared_buffers": "256MB",
    "timezone": "UTC",
}


def programs() -> Path | None:
    """The folder with initdb and postgres of the newest version here, or None."""
    found = [folder / "bin" for folder in PROGRAMS.glob("*") if (folder / "bin" / "postgres").exists()]
    if found:
        return max(found, key=lambda folder: int(folder.parent.name))
    elsewhere = shutil.which("postgres")
    return Path(elsewhere).parent if elsewhere else None


class PostgresServer:
    """One server; it keeps its folder, port and data when it is started again. `close` removes everything."""

    def __init__(self, settings: dict[str, str] | None = None) -> None:
        where = programs()
        if where is None:
            raise StackFailed("no PostgreSQL is installed: apt-get install postgresql")
        self.port = free_port()
        self._programs = where
        self._settings = SETTINGS | (settings or {})
        self._owner = "postgres" if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="edged-postgres-"))
        if self._owner is not None:
            account = pwd.getpwnam(self._owner)
            os.chown(self._folder, account.pw_uid, account.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        self._create()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def dsn(self) -> str:
        """With the password in it, as an operator would write it."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def data(self) -> Path:
        """The cluster's folder."""
        return self._folder / "data"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self._folder / "server.log"

    @property
    def pid(self) -> int:
        """The postmaster, parent of every server process."""
        assert self._process is not None
        return self._process.pid

    def children(self) -> list[int]:
        """The server processes, one per connection and some for itself."""
        return descendants(self.pid)

    def start(self) -> None:
        """Returns when it accepts connections, recovery after a crash included."""
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        sockets = ("-c", f"unix_socket_directories={self._folder}")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.data, "-p", str(self.port), *sockets, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                user=self._owner,
                group=self._owner,
                extra_groups=[] if self._owner else None,
            )
        wait_until("PostgreSQL", self._answers, seconds=READY_SECONDS)

    def run(self, sql: str) -> str:
        """What psql prints for these statements. Raises StackFailed."""
        words = ["-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", DATABASE, "-qtAX", "-v", "ON_ERROR_STOP=1"]
        return self._run("psql", [*words, "-c", sql])

    def stop(self) -> None:
        """Ends every connection and writes a checkpoint (pg_ctl stop -m fast)."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Ends without a checkpoint (pg_ctl stop -m immediate): the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def send(self, number: signal.Signals) -> None:
        """To the postmaster alone."""
        os.kill(self.pid, number)

    def cpu_seconds(self) -> float:
        """User + system seconds of all its processes, ended ones included."""
        return cpu_seconds(self.pid)

    def close(self) -> None:
        """Stops it and removes its data."""
        if self._process is not None:
            self.crash()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _create(self) -> None:
        secret = self._folder / "password"
        secret.write_text(PASSWORD, encoding="utf-8")
        secret.chmod(0o644)
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions", "--no-sync"]
        self._run("initdb", ["-D", str(self.data), "-U", USER, f"--pwfile={secret}", *options])
        secret.unlink()
        self._run("postgres", ["--single", "-D", str(self.data), "postgres"], f"CREATE DATABASE {DATABASE};\n")

    def _run(self, program: str, words: Sequence[str], text: str = "") -> str:
        done = subprocess.run(
            [str(self._programs / program), *words],
            input=text.encode(),
            capture_output=True,
            cwd=self._folder,
            user=self._owner,
            group=self._owner,
            extra_groups=[] if self._owner else None,
            env={**os.environ, "PGPASSWORD": PASSWORD},
            check=False,
        )
        if done.returncode:
            raise StackFailed(f"{program}: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode()

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise StackFailed(f"PostgreSQL ended: {self.log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
        ready = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self.send(number)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

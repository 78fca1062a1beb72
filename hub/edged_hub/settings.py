"""How a hub is run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from edged.errors import ConfigError
from edged.outside import loopback

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8480
DEFAULT_DATA = Path("hub-data")
DATABASE_SCHEMES = ("postgresql", "postgres")
DATABASE_PORT = 5432
LOCAL_SOCKET = "local socket"
EXPECTED_ADDRESS = "expected postgresql://USER:PASSWORD@HOST:PORT/NAME"


@dataclass(frozen=True, slots=True)
class Database:
    """Where PostgreSQL is. The address may carry a password: it is never shown, `place` is."""

    address: str = field(repr=False)
    place: str
    local: bool = True
    """Whether the address stays on this machine."""

    @classmethod
    def at(cls, address: str, origin: str = "--database") -> Database:
        """Checks an address. Raises ConfigError, which names `origin` and never the address."""
        try:
            parts = urlsplit(address)
            host, port = parts.hostname or LOCAL_SOCKET, parts.port or DATABASE_PORT
        except ValueError as fault:
            raise ConfigError([f"{origin}: {EXPECTED_ADDRESS}; special characters in it as %XX"]) from fault
        if parts.scheme not in DATABASE_SCHEMES or "@" in parts.path + parts.query + parts.fragment:
            raise ConfigError([f"{origin}: {EXPECTED_ADDRESS}; special characters in it as %XX"])
        return cls(address, f"postgresql at {host}:{port}{parts.path}", host == LOCAL_SOCKET or loopback(host))

    @classmethod
    def in_file(cls, path: Path) -> Database:
        """The address that is in a file. Raises ConfigError."""
        try:
            return cls.at(path.read_text(encoding="utf-8").strip(), f"--database-file {path}")
        except (OSError, UnicodeDecodeError) as fault:
            raise ConfigError([f"--database-file {path}: {fault}"]) from fault


@dataclass(frozen=True, slots=True)
class HubServerSettings:
    """Checked when made. Raises ConfigError when secrets would travel in clear beyond this machine."""

    data_directory: Path = DEFAULT_DATA
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    certificate: Path | None = None
    key: Path | None = None
    behind_proxy: bool = False
    ready_file: Path | None = None
    database: Database | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ConfigError(["--certificate and --key belong together, got only one of them"])
        if not loopback(self.host) and self.certificate is None and not self.behind_proxy:
            remedy = "--certificate and --key, or --behind-proxy when a proxy in front of the hub does TLS"
            raise ConfigError([f"--host {self.host}: beyond this machine give {remedy}"])
        if not 0 <= self.port <= 65535:
            raise ConfigError([f"--port: expected 0..65535, got {self.port}"])

    @property
    def local(self) -> bool:
        """Only this machine can connect."""
        return loopback(self.host) and not self.behind_proxy

"""How a hub is run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edged.errors import ConfigError
from edged.outside import loopback

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8480
DEFAULT_DATA = Path("hub-data")


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

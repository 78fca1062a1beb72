"""Asks a running daemon how it is doing."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from urllib.parse import urlsplit

from edged.errors import ConfigError, EdgedError

ANSWER_SECONDS = 5.0


class NoStatus(EdgedError):
    """The daemon's status could not be read: see whether it runs, and where its pages are."""


def fetch(base: str, token_file: Path | None = None) -> dict[str, object]:
    """What /status answers. Raises NoStatus, or ConfigError for what is no URL."""
    url = urlsplit(base)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise ConfigError([f"--url: expected http://HOST:PORT, got {base!r}"])
    headers = {} if token_file is None else {"Authorization": f"Bearer {_token(token_file)}"}
    connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    try:
        connection = connect(url.netloc, timeout=ANSWER_SECONDS)
        connection.request("GET", f"{url.path.rstrip('/')}/status", headers=headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise NoStatus(f"{base} does not answer ({error}): is the daemon running?") from error
    if response.status == http.client.UNAUTHORIZED:
        raise NoStatus(f"{base} asks for its token: name it by --token-file")
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if response.status != http.client.OK or not isinstance(answer, dict):
        raise NoStatus(f"{base}/status is not an edged daemon's status page (HTTP {response.status})")
    return answer


def _token(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise NoStatus(f"--token-file: {error}") from error

"""Asks a running daemon how it is doing, and hands it what an operator wants."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from edged.errors import ConfigError, EdgedError

ANSWER_SECONDS = 5.0


class NoStatus(EdgedError):
    """The daemon's status could not be read: see whether it runs, and where its pages are."""


class Reply(NamedTuple):
    """What a page answered; `body` is None where that was no JSON object."""

    status: int
    body: Mapping[str, object] | None


def fetch(base: str, token_file: Path | None = None) -> Mapping[str, object]:
    """What /status answers. Raises NoStatus, or ConfigError for what is no URL."""
    reply = ask(base, "/status", token_file)
    if reply.status == http.client.UNAUTHORIZED:
        raise NoStatus(f"{base} asks for its token: name it by --token-file")
    if reply.status != http.client.OK or reply.body is None:
        raise NoStatus(f"{base}/status is not an edged daemon's status page (HTTP {reply.status})")
    return reply.body


def control_status(base: str, token_file: Path | None) -> Mapping[str, object]:
    """What /control/status answers an operator. Raises NoStatus, or ConfigError for what is no URL."""
    reply = ask(base, "/control/status", token_file)
    if reply.status == http.client.OK and reply.body is not None:
        return reply.body
    raise NoStatus(str(reply.body["reason"]) if reply.body and "reason" in reply.body else f"HTTP {reply.status}")


def ask(base: str, path: str, token_file: Path | None = None, order: Mapping[str, object] | None = None) -> Reply:
    """GET, or POST with an order. Raises NoStatus when nobody answers, or ConfigError for what is no URL."""
    token = None if token_file is None else _token(token_file)
    status, body = read_page(base, path, token, None if order is None else json.dumps(order))
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    return Reply(status, answer if isinstance(answer, dict) else None)


def read_page(base: str, path: str, token: str | None, sent: str | None = None) -> tuple[int, bytes]:
    """The HTTP status and body of a page; POST when something is sent. Raises like `ask`."""
    url = urlsplit(base)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise ConfigError([f"--url: expected http://HOST:PORT, got {base!r}"])
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    method = "GET" if sent is None else "POST"
    try:
        connection = connect(url.netloc, timeout=ANSWER_SECONDS)
        connection.request(method, f"{url.path.rstrip('/')}{path}", body=sent, headers=headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoStatus(f"{base} does not answer ({error}): is the daemon running?") from error
    return response.status, body


def _token(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise NoStatus(f"--token-file: {error}") from error

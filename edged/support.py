"""The support bundle: what someone who helps from afar needs to know, and no secret."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from edged import facts, known_secrets
from edged.bundle import Bundle
from edged.clock import Clock
from edged.config import load
from edged.disclosure import disclose
from edged.document import Document, read_document
from edged.errors import ConfigError, EdgedError
from edged.faults import Faults
from edged.outbox_report import inspect, recent_events
from edged.redact import Redactor, secrets_of_file
from edged.registry import connector_kinds
from edged.settings import HttpSettings
from edged.status import NoStatus, read_page
from edged.types import Alarm, Gap, OperatorAction

DEFAULT_URL = "http://127.0.0.1:8470"
LOG_BYTES = 4 * 1024 * 1024
"""So much of the end of each log."""
JOURNAL_LINES = 20_000
JOURNAL_SECONDS = 30.0
RECENT_EVENTS = 200
OUTBOX_FILE = "outbox.db"
OUTBOX_FILES = "outbox*.db"

README = """\
A support bundle of edged. manifest.json lists what is in it and what could not be had.
config.yaml    the configuration without comments; [secret] was one, [not shown] stands at no place that edged knows
check.txt      what `edged check` says of it, without the values
status.json, metrics.txt    the daemon's own pages
outbox.json, events.json    how much is stored, not what; the last alarms, gaps and actions of operators
data.json      names and sizes of the files in the data directory
system.json, versions.json  the machine and what is installed
logs/          the end of the logs that were named
Every file went through the same search for the secrets of this box and for whatever is usually one. A secret that this
box does not know may be anywhere in a log: look through the files before you send them.
"""


class NoLog(EdgedError):
    """A log could not be had: name a file by --log, or a systemd unit by --unit."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to gather; without a configuration, only what the daemon and the machine say."""

    config: Path | None = None
    url: str | None = None
    token_file: Path | None = None
    logs: Sequence[Path] = ()
    units: Sequence[str] = ()


def gather(wanted: Wanted, clock: Clock) -> Bundle:
    """Everything that can be had; what cannot is in `missing`. Never raises because of what it looks at."""
    bundle = Bundle(_redactor(wanted), clock)
    bundle.attempt("versions.json", lambda: bundle.add_json("versions.json", facts.versions()))
    bundle.attempt("system.json", lambda: bundle.add_json("system.json", facts.system()))
    filled = None
    if wanted.config is not None:
        filled = read_document(wanted.config, Faults(), os.environ)
        bundle.attempt("config.yaml", partial(_add_config, bundle, wanted.config))
        bundle.attempt("check.txt", partial(_add_check, bundle, wanted.config))
    else:
        bundle.missing.append("config.yaml: no --config was named, so nothing of the outbox is here either")
    _add_pages(bundle, wanted, filled)
    if wanted.config is not None and filled is not None:
        _add_data(bundle, wanted.config, filled)
    for number, log_file in enumerate(wanted.logs, 1):
        bundle.attempt(str(log_file), partial(_add_log, bundle, number, log_file))
    for number, unit in enumerate(wanted.units, len(wanted.logs) + 1):
        bundle.attempt(f"journal of {unit}", partial(_add_journal, bundle, number, unit))
    return bundle


def _redactor(wanted: Wanted) -> Redactor:
    secrets = known_secrets.of_box()
    words: Sequence[str] = ()
    if wanted.token_file is not None:
        secrets += secrets_of_file(wanted.token_file)
    if wanted.config is not None:
        known = known_secrets.of_config(wanted.config, connector_kinds())
        secrets += known.secrets
        words = known.words
    return Redactor(secrets, words)


def _add_config(bundle: Bundle, path: Path) -> None:
    raw = read_document(path, Faults())
    if raw is None:
        raise ConfigError([f"{path}: cannot be read as YAML, see check.txt"])
    bundle.add_yaml("config.yaml", disclose(raw.data, connector_kinds()).shown)


def _add_check(bundle: Bundle, path: Path) -> None:
    """What `edged check` says, and whether every secret and certificate is where it should be."""
    try:
        config = load(path, tolerate_missing=True)
        lines = [f"ok, hash {config.hash}", *(f"warning: {warning}" for warning in config.warnings)]
    except ConfigError as error:
        lines = [_without_value(fault) for fault in error.faults]
    bundle.add("check.txt", "\n".join(lines) + "\n")


def _without_value(fault: str) -> str:
    """A fault quotes what it found, cut off somewhere: no search for secrets would know the rest."""
    return re.sub(r"\bgot .*?(?=, did you mean |$)", "got something else", fault, flags=re.DOTALL)


def _add_pages(bundle: Bundle, wanted: Wanted, filled: Document | None) -> None:
    url, token = wanted.url or _url(filled), _token(wanted, filled)

    def add_status() -> None:
        bundle.add_json("status.json", json.loads(_page(url, "/status", token)))

    def add_metrics() -> None:
        bundle.add("metrics.txt", _page(url, "/metrics", token).decode("utf-8", "replace"))

    bundle.attempt("status.json", add_status)
    bundle.attempt("metrics.txt", add_metrics)


def _add_data(bundle: Bundle, config: Path, filled: Document) -> None:
    """The data directory from outside, a report of every outbox file in it, and the last events."""
    named = filled.at("data_directory")
    if not isinstance(named, str):
        bundle.missing.append("outbox.json: the configuration names no data_directory")
        return
    folder = config.absolute().parent / named
    bundle.attempt("data.json", lambda: bundle.add_json("data.json", facts.folder(folder)))
    reports: dict[str, object] = {}

    def add_report(file: Path) -> None:
        reports[file.name] = asdict(inspect(file))

    def add_events() -> None:
        events = recent_events(folder / OUTBOX_FILE, (Alarm, Gap, OperatorAction), RECENT_EVENTS)
        bundle.add_json("events.json", [{"event": type(event).__name__, **asdict(event)} for event in events])

    bundle.attempt("outbox.json", lambda: _each(bundle, folder, add_report))
    bundle.add_json("outbox.json", reports)
    bundle.attempt("events.json", add_events)


def _each(bundle: Bundle, folder: Path, report: Callable[[Path], None]) -> None:
    for file in sorted(folder.glob(OUTBOX_FILES)):
        bundle.attempt(f"outbox.json: {file.name}", partial(report, file))


def _add_log(bundle: Bundle, number: int, path: Path) -> None:
    if path.exists() and not path.is_file():
        raise NoLog(f"{path}: is no file")
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LOG_BYTES))
        tail = file.read(LOG_BYTES)
    if size > LOG_BYTES:
        tail = tail.partition(b"\n")[2]
    heading = f"{path}, the last {len(tail)} of {size} bytes"
    bundle.add_log(f"logs/{number}.txt", heading, tail.decode("utf-8", "replace"))


def _add_journal(bundle: Bundle, number: int, unit: str) -> None:
    command = ["journalctl", f"--unit={unit}", f"--lines={JOURNAL_LINES}", "--no-pager", "--output=short-iso"]
    try:
        answer = subprocess.run(command, capture_output=True, check=False, timeout=JOURNAL_SECONDS)  # noqa: S603 - ours
    except subprocess.TimeoutExpired as fault:
        raise NoLog(f"journalctl did not answer within {JOURNAL_SECONDS:.0f} s") from fault
    if answer.returncode:
        raise NoLog(f"journalctl: {answer.stderr.decode('utf-8', 'replace').strip()}")
    tail = answer.stdout[-LOG_BYTES:]
    bundle.add_log(f"logs/{number}.txt", f"the journal of {unit}", tail.decode("utf-8", "replace"))


def _page(base: str, path: str, token: str | None) -> bytes:
    status, body = read_page(base, path, token)
    if status != http.client.OK:
        hint = ": its token is asked for, name it by --token-file" if status == http.client.UNAUTHORIZED else ""
        raise NoStatus(f"{base}{path} answers HTTP {status}{hint}")
    return body


def _url(filled: Document | None) -> str:
    try:
        pages = HttpSettings.model_validate((filled.at("http") if filled is not None else None) or {})
    except ValidationError:
        return DEFAULT_URL
    host = pages.host if pages.host not in {"", "0.0.0.0", "::"} else "127.0.0.1"  # noqa: S104 - not bound, asked
    return f"http://{f'[{host}]' if ':' in host else host}:{pages.port}"


def _token(wanted: Wanted, filled: Document | None) -> str | None:
    if wanted.token_file is not None:
        return known_secrets.read_place({"file": str(wanted.token_file)}, Path.cwd())
    if wanted.config is None or filled is None:
        return None
    return known_secrets.read_place(filled.at("http", "token"), wanted.config.absolute().parent)

"""Opening an outbox: a sound file as it is, a doubtful one checked, a damaged one set aside for a new one."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgpack

from edged.errors import EdgedError
from edged.log import get_logger
from edged.outbox_aside import (
    FIRST_PAGE_SUFFIX,
    Aside,
    Salvage,
    asides_of,
    finish_set_aside,
    salvage,
    set_aside,
)
from edged.outbox_bounds import bounds_path, read_bounds
from edged.outbox_read import missing_numbers
from edged.outbox_schema import LANES, batch_id, companions, connect, create, migrate
from edged.outbox_store import Store
from edged.outbox_types import EventPiece, StoredAside, StoredState
from edged.outbox_wal import is_whole, last_commit_frame
from edged.records import encode_events
from edged.settings import Synchronous
from edged.types import Gap, Lane

CHECK_WHOLE_FILE_BYTES = 256 * 1024 * 1024
"""Beyond this only the small tables are checked at start; every batch has its own checksum anyway."""
SMALL_TABLES = ("meta", "lane", "batch", "source", "mark", "sink", "aside")
PRIMARY_CODE = 0xFF
DISK_TROUBLE = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_INTERRUPT,
    }
)
UNREADABLE = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError, msgpack.UnpackException)
"""What a value raises that damage has turned into another."""
ASIDES_KEPT = 3
GAP_SOURCE = "outbox"
DAMAGED = "outbox_damaged"
BOOT_IDENTITY = Path("/proc/sys/kernel/random/boot_id")

log = get_logger("outbox")


class Doubtful(sqlite3.DatabaseError):
    """The file can be opened, but something that was committed may be missing from it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An open outbox and the old files that still drain."""

    store: Store
    state: StoredState
    asides: Sequence[tuple[Salvage, Aside]]


@dataclass(frozen=True, slots=True)
class Request:
    """How to open: `stream` names a new file, `oldest` (ns UTC) is before anything that one could hold."""

    path: Path
    synchronous: Synchronous
    stream: str
    now: int
    oldest: int


def disk_trouble(fault: sqlite3.Error) -> bool:
    """Whether the disk refuses (full, read-only, I/O error) or somebody holds the file; otherwise it is damaged."""
    if isinstance(fault, sqlite3.ProgrammingError):
        return True  # the file was closed meanwhile
    code = getattr(fault, "sqlite_errorcode", None)
    return code is not None and (code & PRIMARY_CODE) in DISK_TROUBLE


def open_outbox(request: Request) -> Opened:
    """Opens or makes the outbox; a damaged one is set aside first.

    Raises OutboxTooNew; sqlite3.Error or OSError when the disk does not let us.
    """
    doubt = None
    opened = None
    if request.path.exists():
        try:
            opened = _open(request, checked=True)
        except sqlite3.Error as fault:
            if disk_trouble(fault):
                raise
            doubt = fault if isinstance(fault, Doubtful) else None
            put_aside(request, fault)
    if opened is None:
        finish_set_aside(request.path)
        create(request.path, request.stream, request.now)
        opened = _open(request, checked=False)
    return _with_asides(request, *opened, doubt)


def put_aside(request: Request, fault: sqlite3.Error) -> None:
    """Sets a damaged file aside. Raises OSError."""
    target = set_aside(request.path, request.now)
    log.error("outbox_set_aside", file=target.name, fault=str(fault))


def remembered(path: Path) -> tuple[dict[str, int], dict[str, list[bytes]]]:
    """When each source was last heard, and its marks, from a file that cannot be opened for writing now; empty if none.

    Without the disk space for a shared-memory file the log beside it cannot be read: then what it held is not known.
    """
    for how in ("mode=ro", "immutable=1"):
        try:
            with closing(sqlite3.connect(f"file:{path}?{how}", uri=True)) as connection:
                sources = dict(connection.execute("SELECT name, last_seen FROM source").fetchall())
                marks: dict[str, list[bytes]] = {}
                for source, packed in connection.execute("SELECT source, marks FROM mark ORDER BY source, number"):
                    marks.setdefault(source, []).extend(msgpack.unpackb(packed))
                return sources, marks
        except sqlite3.Error as fault:
            log.warning("outbox_not_readable", file=path.name, how=how, fault=str(fault))
    return {}, {}


def boot_identity() -> str:
    """Changes with every start of the machine; empty where the kernel does not tell."""
    return BOOT_IDENTITY.read_text(encoding="ascii").strip() if BOOT_IDENTITY.exists() else ""


def _open(request: Request, *, checked: bool) -> tuple[Store, StoredState]:
    expected = last_commit_frame(companions(request.path)[0])
    connection = connect(request.path, request.synchronous)
    try:
        if checked:
            _check(connection, request, expected)
        migrate(connection)
        store = Store(request.path, connection, boot_identity())
        state = store.load()
        _compare(connection, state)
    except (sqlite3.Error, EdgedError):
        connection.close()
        raise
    except UNREADABLE as fault:
        connection.close()
        raise sqlite3.DatabaseError(f"its tables cannot be read: {fault}") from fault
    return store, state


def _compare(connection: sqlite3.Connection, state: StoredState) -> None:
    """A damaged page can read like an empty one. Raises sqlite3.DatabaseError when batches are there and not listed."""
    query = "SELECT id FROM blob WHERE id BETWEEN ? AND ? LIMIT 1"
    for lane in LANES:
        missing = missing_numbers(lane, state.heads[lane], state.stored[lane], state.stream, state.sinks)
        for first, last in missing.intervals():
            if connection.execute(query, (batch_id(lane, first), batch_id(lane, last))).fetchone() is not None:
                raise sqlite3.DatabaseError(f"batches within {lane.value} {first}-{last} are not listed")


def _check(connection: sqlite3.Connection, request: Request, expected_frames: int) -> None:
    """After an unclean stop: is the file whole? Raises sqlite3.DatabaseError, or Doubtful."""
    meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    if meta.get("clean") == "1" and not expected_frames:
        return
    small = request.path.stat().st_size <= CHECK_WHOLE_FILE_BYTES
    for check in ["quick_check(1)"] if small else [f"quick_check({table})" for table in SMALL_TABLES]:
        ((verdict, *_), *_) = connection.execute(f"PRAGMA {check}").fetchall()
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"quick_check: {verdict}")
    _, frames, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    if frames < expected_frames and not is_whole(companions(request.path)[0], expected_frames):
        raise Doubtful(f"{frames} of {expected_frames} log frames can be read: the last batches may be missing")
    if request.synchronous is Synchronous.NORMAL and meta.get("boot") != boot_identity():
        raise Doubtful("the power failed while synchronous was NORMAL: the last batches may be missing")


def _with_asides(request: Request, store: Store, state: StoredState, doubt: Doubtful | None) -> Opened:
    """Opens the old files that still drain; what is new among them is noted together with its gaps."""
    files = asides_of(request.path)
    noted = {aside.file: aside.drained for aside in state.asides}
    readable = [found for file in files if not noted.get(file.name) and (found := salvage(file)) is not None]
    drained = {name for name, done in noted.items() if done} | {name for known, _ in readable for name in known.drained}
    draining = [(known, aside) for known, aside in readable if known.file not in drained]
    for known, aside in readable:
        if known.file in drained:
            aside.close()
    streams = {known.file: known.stream for known, _ in readable}
    new = [file.name for file in files if file.name not in noted]
    if new:
        lost = [name for name in new if name not in streams]
        bounds = [read_bounds(request.path.with_name(name)) for name in lost]
        gaps = [_gap(request, min(known.oldest.values()) if known else None) for known in bounds]
        if doubt is not None and draining:
            known, aside = draining[-1]
            last = known.candidates[Lane.PROCESS].last or 0
            gaps.append(_gap(request, aside.since(Lane.PROCESS, last + 1), known.stream))
        torn = [known for known, _ in draining if known.file in new and known.unknown_since]
        gaps += [_gap(request, since, known.stream) for known in torn for since in known.unknown_since]
        done = drained.union(lost)
        heard = [known.sources for known, _ in readable] + [known.sources for known in bounds if known]
        sources = {name: seen for one in heard for name, seen in one.items()}
        notes = [StoredAside(name, streams.get(name, ""), name in done) for name in new]
        store.adopt(notes, sources, EventPiece(gaps, encode_events(gaps), "", ()), request.now)
        state = store.load()
    _forget_oldest([file for file in files if file.name in drained])
    return Opened(store, state, draining)


def _gap(request: Request, since: int | None, stream: str = "") -> Gap:
    """What a damaged file held from a source time on and nobody can name; None when not even the time is known."""
    start = request.oldest if since is None else min(since, request.now)
    return Gap(GAP_SOURCE, start, request.now, DAMAGED, stream=stream)


def _forget_oldest(drained: Sequence[Path]) -> None:
    """Deletes all but the newest of the files that hold nothing any more that someone waits for."""
    for file in drained[:-ASIDES_KEPT]:
        for part in (file, *companions(file), bounds_path(file), file.with_name(file.name + FIRST_PAGE_SUFFIX)):
            part.unlink(missing_ok=True)
        log.info("aside_deleted", file=file.name)

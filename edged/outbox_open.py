"""Opening an outbox: a sound file as it is, a doubtful one checked, a damaged one set aside for a new one."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
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
    last_committed,
    salvage,
    set_aside,
)
from edged.outbox_schema import companions, connect, create, migrate
from edged.outbox_store import Store
from edged.outbox_types import EventPiece, StoredAside, StoredState
from edged.outbox_wal import is_whole, last_commit_frame
from edged.records import encode_events
from edged.settings import Synchronous
from edged.types import Gap

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
        return store, store.load()
    except (sqlite3.Error, EdgedError, ValueError, KeyError, msgpack.UnpackException) as fault:
        connection.close()
        if isinstance(fault, sqlite3.Error | EdgedError):
            raise
        raise sqlite3.DatabaseError(f"its tables cannot be read: {fault}") from fault


def _check(connection: sqlite3.Connection, request: Request, expected_frames: int) -> None:
    """After an unclean stop: is the file whole? Raises sqlite3.DatabaseError, or Doubtful."""
    meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    if meta.get("clean") == "1":
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
    noted = {aside.file: aside for aside in state.asides}
    files = asides_of(request.path)
    found: list[tuple[Salvage, Aside]] = []
    new: list[StoredAside] = []
    gaps: list[Gap] = []
    for file in files:
        if file.name in noted and noted[file.name].drained:
            continue
        readable = salvage(file)
        if readable is not None:
            found.append(readable)
            stream = readable[0].stream
        else:
            stream = ""
            gaps.append(Gap(GAP_SOURCE, request.oldest, request.now, DAMAGED))
        if file.name not in noted:
            new.append(StoredAside(file.name, stream, drained=readable is None))
    if doubt is not None and found:
        last = last_committed(files[-1]) or request.oldest
        gaps.append(Gap(GAP_SOURCE, last, request.now, DAMAGED, stream=found[-1][0].stream))
    if new:
        sources = {name: seen for known, _ in found for name, seen in known.sources.items()}
        piece = EventPiece(gaps, encode_events(gaps), "", ())
        store.adopt(new, sources, piece, request.now)
        state = store.load()
    _forget_oldest([file for file in files if file.name in noted and noted[file.name].drained])
    return Opened(store, state, _still_draining(found))


def _still_draining(found: Sequence[tuple[Salvage, Aside]]) -> list[tuple[Salvage, Aside]]:
    """Without those that a later file, itself set aside since, remembers as drained."""
    drained = {name for known, _ in found for name in known.drained}
    for known, aside in found:
        if known.file in drained:
            aside.close()
    return [(known, aside) for known, aside in found if known.file not in drained]


def _forget_oldest(drained: Sequence[Path]) -> None:
    """Deletes all but the newest of the files that hold nothing any more that someone waits for."""
    for file in drained[:-ASIDES_KEPT]:
        for part in (file, *companions(file), file.with_name(file.name + FIRST_PAGE_SUFFIX)):
            part.unlink(missing_ok=True)
        log.info("aside_deleted", file=file.name)

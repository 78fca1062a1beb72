"""The one writing connection of a hub: one transaction for everything that is ready."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg

from edged.clock import Clock
from edged.log import get_logger
from edged.types import BatchKey
from edged_cloud_sync.wire import Answer, Refusal, WireBatch
from edged_hub.ledger import LaneAccount, lacking
from edged_hub.postgres_connect import CONFUSED, FAULTS, Connections
from edged_hub.postgres_names import Names
from edged_hub.postgres_partitions import Partitions
from edged_hub.postgres_prepare import DamagedBatch, Prepared, ReadyBatch
from edged_hub.postgres_rows import COPY_HEAD, COPY_TAIL, shown
from edged_hub.postgres_schema import statement
from edged_hub.store import StoreUnavailable

HELD, ACCOUNTED = "held", "accounted"
EVENT_COLUMNS = ("stream_id", "seq", "row_number", "kind", "time", "source", "body")
GAP_COLUMNS = (
    *("stream_id", "seq", "row_number", "source", "start_time", "end_time", "reason"),
    *("lost_stream", "lost_lane", "first_seq", "last_seq", "samples"),
)
CONTENT_FAULTS = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)
"""The server understood and will never take this content, however often it is sent."""

log = get_logger("hub.database")


@dataclass(slots=True)
class _Change:
    """What a transaction changes in one lane."""

    account: LaneAccount
    batches: int = 0
    rows: int = 0
    received: int = 0


@dataclass(slots=True)
class _Work:
    """One transaction under way."""

    commit_id: int
    changes: dict[int, _Change]
    new: set[tuple[int, int]] = field(default_factory=set)
    written: list[ReadyBatch] = field(default_factory=list)
    newest: dict[int, tuple[int, int]] = field(default_factory=dict)


class PostgresWriter:
    """Whatever happens, an answer is given only after the commit of what it accepts."""

    def __init__(
        self,
        connections: Connections,
        connection: Any,
        names: Names,
        partitions: Partitions,
        clock: Clock,
    ) -> None:
        self._connections = connections
        self._connection = connection
        self._names = names
        self._partitions = partitions
        self._clock = clock
        self._accounts: dict[int, tuple[int, LaneAccount]] = {}

    async def write(self, group: Sequence[Prepared]) -> list[Answer]:
        """One transaction for all portions; the answers in their order. Raises StoreUnavailable."""
        async with self._connections.faults():
            try:
                return await self._in_time(group)
            except CONTENT_FAULTS as fault:
                log.warning("group_taken_apart", portions=len(group), fault=str(fault))
                return [await self._write_apart(prepared) for prepared in group]

    async def close(self) -> None:
        """Closes the connection, by force when the server does not answer."""
        try:
            await self._connection.close(timeout=self._connections.limits.connect_seconds)
        except FAULTS:
            self._connection.terminate()

    async def _in_time(self, group: Sequence[Prepared]) -> list[Answer]:
        if self._connection.is_closed():
            self._accounts.clear()
            self._names.forget()
            self._partitions.forget()
            self._connection = await self._connections.connect()
            log.info("database_connected_again")
        if any(prepared.generation != self._names.generation for prepared in group):
            raise StoreUnavailable("the connection to the database was lost and is back: send it again")
        limit = self._connections.limits.write_seconds
        deadline = asyncio.get_running_loop().call_later(limit, self._connection.terminate)
        try:
            return await self._transaction(group)
        except CONFUSED:
            self._connection.terminate()
            raise
        finally:
            deadline.cancel()

    async def _transaction(self, group: Sequence[Prepared]) -> list[Answer]:
        lanes = {key: stream_id for one in group for key, stream_id in one.lanes.items()}
        async with self._connection.transaction():
            work = await self._begin(sorted(set(lanes.values())))
            work.new = await self._insert_batches(work.commit_id, group)
            answers = [await self._take(work, prepared) for prepared in group]
            await self._copy(work.written)
            await self._settle(work)
        for stream_id, change in work.changes.items():
            version, known = self._accounts[stream_id]
            changed = change.account != known
            self._accounts[stream_id] = (version + changed, change.account)
        self._names.newest_from |= {signal_id: first for signal_id, (first, _) in work.newest.items()}
        accounts = {key: self._accounts[stream_id][1] for key, stream_id in lanes.items()}
        return [
            answer._replace(lacks=lacking(accounts, one.portion.node, one.portion.offers))
            for one, answer in zip(group, answers, strict=True)
        ]

    async def _begin(self, stream_ids: Sequence[int]) -> _Work:
        """Locks the lanes, so that hubs take turns at them, and reads what others changed in them."""
        locked = await self._connection.fetch(statement("lanes_lock"), stream_ids)
        stale = {i: version for i, version in locked if self._accounts.get(i, (None,))[0] != version}
        if stale:
            fresh = {stream_id: LaneAccount(stream_id) for stream_id in stale}
            for stream_id, kind, *interval in await self._connection.fetch(statement("lanes_intervals"), list(stale)):
                account = fresh[stream_id]
                (account.held if kind == HELD else account.accounted).add(*interval)
            self._accounts |= {stream_id: (stale[stream_id], account) for stream_id, account in fresh.items()}
        commit_id = await self._connection.fetchval(statement("commit_begin"))
        return _Work(commit_id, {stream_id: _Change(self._accounts[stream_id][1].copy()) for stream_id in stream_ids})

    async def _insert_batches(self, commit_id: int, group: Sequence[Prepared]) -> set[tuple[int, int]]:
        """The ledger first: only what was not in it comes back, and only that is written."""
        rows = [
            (item.stream_id, item.key.seq, item.rows, item.size, item.first_time, item.last_time, one.portion.received)
            for one in group
            for item in one.items
            if isinstance(item, ReadyBatch)
        ]
        if not rows:
            return set()
        found = await self._connection.fetch(statement("batches_insert"), *zip(*rows, strict=True), commit_id)
        return {(stream_id, seq) for stream_id, seq in found}

    async def _take(self, work: _Work, prepared: Prepared) -> Answer:
        accepted: list[BatchKey] = []
        refused: list[Refusal] = []
        duplicates = 0
        for item in prepared.items:
            change = work.changes[item.stream_id]
            if isinstance(item, ReadyBatch):
                accepted.append(item.key)
                if (item.stream_id, item.key.seq) in work.new:
                    work.new.remove((item.stream_id, item.key.seq))
                    self._note(work, change, item, prepared.portion.received)
                else:
                    duplicates += 1
            elif item.batch.key.seq in change.account.held:
                accepted.append(item.batch.key)
                duplicates += 1
            else:
                refused.append(Refusal(item.batch.key, item.reason))
                await self._put_aside(change.account, item, prepared.portion.received)
        return Answer(accepted, duplicates, refused)

    def _note(self, work: _Work, change: _Change, item: ReadyBatch, received: int) -> None:
        work.written.append(item)
        change.batches += 1
        change.rows += item.rows
        change.received = max(change.received, received)
        change.account.hold(item.key.seq, item.key.seq)
        for signal_id, first, last in item.newest:
            known = work.newest.get(signal_id)
            if first > (known[0] if known else self._names.newest_from[signal_id]):
                work.newest[signal_id] = (first, last)
        for lost in item.given_up:
            work.changes[lost.stream_id].account.accounted.add(lost.first, lost.last)

    async def _put_aside(self, account: LaneAccount, item: DamagedBatch, received: int) -> None:
        """Keeps the bytes of a batch that cannot be read, so that nothing is lost by confirming it."""
        key, rows, blob = item.batch
        await self._connection.execute(
            statement("refused_insert"), item.stream_id, key.seq, rows, item.reason, received, blob
        )
        account.accounted.add(key.seq, key.seq)

    async def _copy(self, batches: Sequence[ReadyBatch]) -> None:
        samples = [batch.samples for batch in batches if batch.samples]
        if samples:
            source = io.BytesIO(b"".join((COPY_HEAD, *samples, COPY_TAIL)))
            await self._connection.copy_to_table("sample_rows", source=source, format="binary")
        events = [row for batch in batches for row in batch.events]
        if events:
            await self._connection.copy_records_to_table("event_rows", records=events, columns=EVENT_COLUMNS)
        gaps = [row for batch in batches for row in batch.gaps]
        if gaps:
            await self._connection.copy_records_to_table("gap_rows", records=gaps, columns=GAP_COLUMNS)

    async def _settle(self, work: _Work) -> None:
        """Writes what changed in lanes and signals, and stamps the batches as the last thing before the commit."""
        changed = {i: change for i, change in work.changes.items() if change.account != self._accounts[i][1]}
        if changed:
            counts = [(i, change.batches, change.rows, change.received) for i, change in changed.items()]
            await self._connection.execute(statement("lanes_count"), *zip(*counts, strict=True))
            await self._write_intervals(changed)
        if work.newest:
            firsts, lasts = zip(*work.newest.values(), strict=True)
            await self._connection.execute(statement("signals_newest"), list(work.newest), firsts, lasts)
        await self._connection.execute(statement("commit_stamp"), work.commit_id, self._clock.now())

    async def _write_intervals(self, changed: dict[int, _Change]) -> None:
        gone: list[tuple[int, str, int]] = []
        put: list[tuple[int, str, int, int]] = []
        for stream_id, change in changed.items():
            known = self._accounts[stream_id][1]
            for kind, old, new in (
                (HELD, known.held, change.account.held),
                (ACCOUNTED, known.accounted, change.account.accounted),
            ):
                before, after = set(old.intervals()), set(new.intervals())
                kept = {first for first, _ in after}
                gone += [(stream_id, kind, first) for first, _ in before if first not in kept]
                put += [(stream_id, kind, *interval) for interval in after - before]
        if gone:
            await self._connection.execute(statement("intervals_delete"), *zip(*gone, strict=True))
        await self._connection.execute(statement("intervals_put"), *zip(*put, strict=True))

    async def _write_apart(self, prepared: Prepared) -> Answer:
        """Every batch in a transaction of its own; what the server will never take is put aside."""
        answers = []
        for item in prepared.items:
            alone = replace(prepared, items=[item])
            try:
                answers += await self._in_time([alone])
            except CONTENT_FAULTS as fault:
                assert isinstance(item, ReadyBatch)
                batch = _find(prepared.portion.batches, item.key)
                damaged = DamagedBatch(batch, item.stream_id, shown(str(fault)))
                answers += await self._in_time([replace(prepared, items=[damaged])])
        return joined(answers)


def joined(answers: Sequence[Answer]) -> Answer:
    """One answer for a POST that took several transactions; the last one knows what is lacking."""
    if len(answers) == 1:
        return answers[0]
    return Answer(
        [key for answer in answers for key in answer.accepted],
        sum(answer.duplicates for answer in answers),
        [refusal for answer in answers for refusal in answer.refused],
        answers[-1].lacks,
    )


def _find(batches: Iterable[WireBatch], key: BatchKey) -> WireBatch:
    return next(batch for batch in batches if batch.key == key)

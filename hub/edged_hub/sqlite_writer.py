"""The one writer of the embedded store: runs in its own thread, one transaction for everything that waits."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edged.clock import Clock
from edged.errors import DamagedRecord
from edged.types import BatchKey, Lane, SeqRange
from edged_cloud_sync.wire import Answer, Refusal, WireBatch
from edged_hub.ledger import LaneAccount, LaneKey, lacking
from edged_hub.rows import DecodedBatch, decode, store_value
from edged_hub.sqlite_files import statement


@dataclass(frozen=True, slots=True)
class IngestJob:
    """What one POST brought."""

    node: str
    batches: Sequence[WireBatch]
    offers: Sequence[SeqRange]
    received: int


class SqliteWriter:
    """Every method runs in the writer's thread. Raises sqlite3.Error; then nothing of the call was kept."""

    def __init__(self, path: Path, clock: Clock, connect: Callable[[Path], sqlite3.Connection]) -> None:
        self._clock = clock
        self._connection = connect(path)
        self._accounts: dict[LaneKey, LaneAccount] = {}
        self._signals: dict[tuple[str, str], int] = {}
        self._load()

    def ingest(self, jobs: Sequence[IngestJob]) -> list[Answer]:
        """One transaction for all jobs; the answers in their order, after the commit."""
        with self._transaction() as transaction:
            answers = [transaction.ingest(job) for job in jobs]
            transaction.finish()
        self._accounts |= transaction.accounts
        self._signals |= transaction.signals
        return [
            answer._replace(lacks=lacking(self._accounts, job.node, job.offers))
            for job, answer in zip(jobs, answers, strict=True)
        ]

    def execute(self, name: str, values: Sequence[object]) -> None:
        """One statement of `sql/` in a transaction of its own."""
        with self._transaction():
            self._connection.execute(statement(name), values)

    def close(self) -> None:
        """Closes the file in good order."""
        self._connection.close()

    def _load(self) -> None:
        lanes: dict[int, LaneAccount] = {}
        for stream_id, node, stream, lane in self._connection.execute(statement("streams")):
            lanes[stream_id] = self._accounts[LaneKey(node, stream, Lane(lane))] = LaneAccount(stream_id)
        for stream_id, first, last in self._connection.execute(statement("held")):
            lanes[stream_id].hold(first, last)
        for stream_id, seq in self._connection.execute(statement("refused")):
            lanes[stream_id].accounted.add(seq, seq)
        for node, stream, lane, first, last in self._connection.execute(statement("given_up")):
            account = self._accounts.get(LaneKey(node, stream, Lane(lane)))
            if account is not None:
                account.accounted.add(first, last)
        for signal_id, node, signal in self._connection.execute(statement("signals")):
            self._signals[node, signal] = signal_id

    @contextmanager
    def _transaction(self) -> Iterator[_Transaction]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield _Transaction(self._connection, self._clock, self._accounts, self._signals)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


class _Transaction:
    """The work of one transaction on copies of the accounts; they replace the originals after the commit."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        clock: Clock,
        accounts: dict[LaneKey, LaneAccount],
        signals: dict[tuple[str, str], int],
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._known_accounts = accounts
        self._known_signals = signals
        self._first_batch: int | None = None
        self.accounts: dict[LaneKey, LaneAccount] = {}
        self.signals: dict[tuple[str, str], int] = {}

    def ingest(self, job: IngestJob) -> Answer:
        """Ledger row first, then the rows; what is held already is only answered."""
        accepted: list[BatchKey] = []
        refused: list[Refusal] = []
        duplicates = 0
        for batch in job.batches:
            account = self._account(LaneKey(job.node, batch.key.stream, batch.key.lane))
            if batch.key.seq in account.held:
                duplicates += 1
                accepted.append(batch.key)
                continue
            try:
                decoded = decode(batch)
            except DamagedRecord as fault:
                refused.append(Refusal(batch.key, str(fault)))
                self._put_aside(account, batch, str(fault), job.received)
                continue
            self._insert(job, account, decoded)
            accepted.append(batch.key)
        return Answer(accepted, duplicates, refused)

    def finish(self) -> None:
        """Writes the intervals that changed and stamps the batches, as the last thing before the commit."""
        for key, account in self.accounts.items():
            before = self._known_accounts.get(key)
            old = set(before.held.intervals()) if before else set[tuple[int, int]]()
            new = set(account.held.intervals())
            self._many("held_delete", [(account.stream_id, first) for first, _ in old - new])
            self._many("held_insert", [(account.stream_id, *interval) for interval in new - old])
        if self._first_batch is not None:
            self._connection.execute(statement("batch_stamp"), (self._clock.now(), self._first_batch))

    def _insert(self, job: IngestJob, account: LaneAccount, decoded: DecodedBatch) -> None:
        key, rows, blob = decoded.batch
        times = (decoded.first_time, decoded.last_time, job.received)
        cursor = self._connection.execute(
            statement("batch_insert"), (account.stream_id, key.seq, rows, len(blob), *times)
        )
        batch_id = cursor.lastrowid
        assert batch_id is not None
        if self._first_batch is None:
            self._first_batch = batch_id
        self._connection.execute(statement("stream_count"), (rows, job.received, account.stream_id))
        if decoded.samples:
            self._insert_samples(job.node, batch_id, decoded)
        if decoded.events:
            self._insert_events(job.node, batch_id, decoded)
        account.hold(key.seq, key.seq)

    def _insert_samples(self, node: str, batch_id: int, decoded: DecodedBatch) -> None:
        numbers = {path: self._signal(node, path) for path in {sample.signal for sample in decoded.samples}}
        rows = [
            (numbers[signal], source_time, batch_id, row, *store_value(value), quality, receive_time, reason)
            for row, (signal, value, source_time, receive_time, quality, reason) in enumerate(decoded.samples)
        ]
        self._many("sample_insert", rows)

    def _insert_events(self, node: str, batch_id: int, decoded: DecodedBatch) -> None:
        self._many("event_insert", [(batch_id, row, *event) for row, event in enumerate(decoded.events)])
        for row, gap in decoded.gaps:
            lost = (gap.stream, gap.lane, gap.first_seq, gap.last_seq, gap.samples)
            values = (batch_id, row, gap.source, gap.start, gap.end, gap.reason, *lost)
            self._connection.execute(statement("gap_insert"), values)
            if gap.stream and gap.lane in set(Lane) and 1 <= gap.first_seq <= gap.last_seq:
                lane = LaneKey(node, gap.stream, Lane(gap.lane))
                self._account(lane).accounted.add(gap.first_seq, gap.last_seq)

    def _put_aside(self, account: LaneAccount, batch: WireBatch, reason: str, received: int) -> None:
        """Keeps the bytes of a batch that cannot be read, so that nothing is lost by confirming it."""
        values = (account.stream_id, batch.key.seq, batch.rows, reason, received, batch.blob)
        self._connection.execute(statement("refused_insert"), values)
        account.accounted.add(batch.key.seq, batch.key.seq)

    def _account(self, key: LaneKey) -> LaneAccount:
        """The lane's account as this transaction sees it."""
        account = self.accounts.get(key)
        if account is None:
            known = self._known_accounts.get(key)
            account = known.copy() if known else LaneAccount(self._insert_id("stream_insert", key))
            self.accounts[key] = account
        return account

    def _signal(self, node: str, path: str) -> int:
        number = self._known_signals.get((node, path)) or self.signals.get((node, path))
        if number is None:
            number = self.signals[node, path] = self._insert_id("signal_insert", (node, path))
        return number

    def _insert_id(self, name: str, values: Sequence[object]) -> int:
        number = self._connection.execute(statement(name), values).lastrowid
        assert number is not None
        return number

    def _many(self, name: str, rows: Sequence[Sequence[object]]) -> None:
        if rows:
            self._connection.executemany(statement(name), rows)

"""What one sink owes in one lane of one stream: numbers live, in the backlog, out, confirmed, forgone."""

from __future__ import annotations

from collections.abc import Iterable

from edged.intervals import IntervalSet, spans


class Track:
    """Three disjoint sets make up what is not confirmed: `live`, `backlog` and what is `out` with the sink."""

    __slots__ = ("backlog", "changed", "confirmed", "forgone", "live", "out")

    def __init__(self, stored: IntervalSet, confirmed: IntervalSet, forgone: IntervalSet) -> None:
        self.live = IntervalSet()
        self.out = IntervalSet()
        self.confirmed = confirmed
        self.forgone = forgone
        self.backlog = stored.copy()
        self.backlog.subtract(confirmed)
        self.backlog.subtract(forgone)
        self.changed = False

    def committed(self, seq: int, *, live: bool) -> None:
        """A new batch."""
        (self.live if live else self.backlog).add(seq, seq)

    def take(self, count: int, *, live: bool) -> list[int]:
        """The oldest numbers of the live part or of the backlog; they are out until something is said of them."""
        source = self.live if live else self.backlog
        taken = source.head(count)
        for first, last in spans(taken):
            source.remove(first, last)
            self.out.add(first, last)
        return taken

    def untake(self, seqs: Iterable[int], *, live: bool) -> None:
        """These were not handed out after all."""
        for first, last in self._out(seqs).intervals():
            self.out.remove(first, last)
            (self.live if live else self.backlog).add(first, last)

    def confirm(self, seqs: Iterable[int]) -> IntervalSet:
        """These are done; the numbers among them that were not before."""
        done = IntervalSet.of(seqs)
        new = IntervalSet()
        for part in (self.out, self.backlog, self.live):
            new.update(part.intersection(done))
            part.subtract(done)
        self.confirmed.update(new)
        self.changed |= bool(new)
        return new

    def release(self, seqs: Iterable[int]) -> None:
        """These did not arrive: backlog from now on."""
        self.untake(seqs, live=False)

    def reopen(self) -> None:
        """Everything unconfirmed becomes backlog."""
        self.backlog.update(self.live)
        self.backlog.update(self.out)
        self.live, self.out = IntervalSet(), IntervalSet()

    def unconfirm(self, seqs: Iterable[int]) -> int:
        """Confirmed numbers among these become backlog again; how many."""
        again = self.confirmed.intersection(IntervalSet.of(seqs))
        self.confirmed.subtract(again)
        self.backlog.update(again)
        self.changed |= bool(again)
        return len(again)

    def forgo(self, gone: IntervalSet) -> None:
        """These will never be sent."""
        owed = IntervalSet()
        for part in (self.live, self.backlog, self.out):
            owed.update(part.intersection(gone))
            part.subtract(gone)
        self.forgone.update(owed)
        self.changed |= bool(owed)

    def pending(self) -> IntervalSet:
        """Everything that is not confirmed and not forgone."""
        every = self.backlog.copy()
        every.update(self.live)
        every.update(self.out)
        return every

    @property
    def depth(self) -> int:
        """How many are not confirmed yet."""
        return len(self.live) + len(self.backlog) + len(self.out)

    @property
    def oldest(self) -> int | None:
        """The lowest number that is not confirmed yet."""
        firsts = [part.first for part in (self.live, self.backlog, self.out) if part.first is not None]
        return min(firsts, default=None)

    def _out(self, seqs: Iterable[int]) -> IntervalSet:
        return self.out.intersection(IntervalSet.of(seqs))

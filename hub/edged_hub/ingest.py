"""The ingest route: edges post batches, the answer comes after the commit and carries what users ask of the line."""

from __future__ import annotations

from aiohttp import web

from edged.clock import Clock
from edged.log import get_logger
from edged.metrics import Metrics
from edged_cloud_sync.wire import CONTENT_TYPE, MAX_BODY_BYTES, Answer, decode_envelope, encode_answer
from edged_cloud_sync.wire_commands import ACCEPTS_COMMANDS, ACCEPTS_HEADER
from edged_hub.access import CALLER, fault
from edged_hub.commands import Commands
from edged_hub.store import Store, StoreBusy

MAX_IN_FLIGHT_BYTES = 128 * 1024 * 1024
"""Bodies held in memory at once; beyond this edges are asked to come back."""

log = get_logger("hub.ingest")


class Ingest:
    """Takes the POSTs of all edges."""

    def __init__(self, store: Store, commands: Commands, clock: Clock, metrics: Metrics) -> None:
        self._store = store
        self._commands = commands
        self._clock = clock
        self._in_flight = 0
        self._batches = metrics.counter("edged_hub_batches_total", "Batches committed")
        self._duplicates = metrics.counter("edged_hub_duplicate_batches_total", "Batches sent again and skipped")
        self._refused = metrics.counter("edged_hub_refused_batches_total", "Batches that could not be read")
        self._seconds = metrics.histogram("edged_hub_ingest_seconds", "Time from a whole body to the answer")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One POST. Raises WireError, StoreBusy, StoreUnavailable."""
        if request.content_type != CONTENT_TYPE:
            return fault(415, f"expected {CONTENT_TYPE}, got {request.content_type}")
        announced = request.content_length or MAX_BODY_BYTES
        if announced > MAX_BODY_BYTES:
            return fault(413, f"at most {MAX_BODY_BYTES} bytes at once, got {announced}")
        if self._in_flight and self._in_flight + announced > MAX_IN_FLIGHT_BYTES:
            raise StoreBusy(f"{self._in_flight} bytes are being taken in")
        self._in_flight += announced
        try:
            return await self._take(request)
        finally:
            self._in_flight -= announced

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        started = self._clock.monotonic()
        envelope = decode_envelope(body)
        caller = request[CALLER]
        if envelope.node != caller.name:
            return fault(403, f"this secret belongs to {caller.name}, the batches to {envelope.node}")
        self._commands.judge(envelope.node, envelope.verdicts)
        answer = await self._store.ingest(envelope.node, envelope.batches, envelope.offers)
        self._note(envelope.node, answer)
        if request.headers.get(ACCEPTS_HEADER) == ACCEPTS_COMMANDS:
            answer = answer._replace(commands=self._commands.hand_over(envelope.node))
        self._seconds.observe(self._clock.monotonic() - started)
        return web.Response(body=encode_answer(answer), content_type="application/json")

    def _note(self, node: str, answer: Answer) -> None:
        self._batches.inc(len(answer.accepted) - answer.duplicates)
        self._duplicates.inc(answer.duplicates)
        self._refused.inc(len(answer.refused))
        for key, reason in answer.refused:
            log.error("batch_put_aside", node=node, key=key, reason=reason)

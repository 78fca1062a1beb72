"""The uplink without a network: what it refuses to be built with, and the sink that stands in for an outbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.clock import VirtualClock
from edged.errors import AccessRefused, ConfigError
from edged.metrics import Metrics
from edged.ports import Announcer
from edged.settings import HubSettings, Secret
from edged.types import BatchKey, Lane, Sample, SeqRange
from edged_cloud_sync.commands import HubCommands
from edged_cloud_sync.memory import MemorySink
from edged_cloud_sync.uplink import Uplink

ROWS = [Sample("line_a/furnace/temperature", 1.0, 1, 2)]


def build(url: str = "http://127.0.0.1:8480", secret: Secret | None = None) -> Uplink:
    settings = HubSettings(url=url, secret=secret or Secret(file=Path("/nowhere/secret")))
    clock, metrics = VirtualClock(), Metrics()
    commands = HubCommands(None, {}, "line_a", clock, metrics, allowed=False)
    return Uplink(settings, "line_a", MemorySink(), commands, clock, metrics)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://hub.example", "http://127.9.9.9"]
)
def test_plain_http_on_this_machine_and_https_everywhere(url: str) -> None:
    assert build(url).status().url == url


@pytest.mark.parametrize("url", ["http://hub.example:8480", "http://192.168.0.1", "http://127.0.0.1.example"])
def test_plain_http_to_another_machine_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"hub\.url: plain HTTP is allowed to this machine only"):
        build(url)


@pytest.mark.parametrize("url", ["", "hub", "ftp://127.0.0.1", "http://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"hub\.url: expected http"):
        build(url)


async def test_an_unset_environment_variable_is_named() -> None:
    with pytest.raises(AccessRefused, match=r"EDGED_NO_SUCH_SECRET: is not set; `edged-hub enroll line_a`"):
        await build(secret=Secret(environment="EDGED_NO_SUCH_SECRET")).run()


async def test_what_is_released_comes_again_as_backlog() -> None:
    sink = MemorySink()
    key = sink.add_samples(ROWS)
    assert await taken(sink, live=True) == [key]
    assert await taken(sink, live=True) == []
    sink.release([key])
    assert await taken(sink, live=True) == []
    assert await taken(sink, live=False) == [key]


async def test_after_reopening_everything_unconfirmed_is_backlog() -> None:
    sink = MemorySink()
    keys = [sink.add_samples(ROWS) for _ in range(3)]
    await taken(sink, live=True)
    await sink.confirm(keys[:1])
    sink.reopen()
    new = sink.add_samples(ROWS)
    assert await taken(sink, live=True) == [new]
    assert await taken(sink, live=False) == keys[1:]
    assert sink.depth(Lane.PROCESS) == 3


async def test_offers_span_what_is_not_confirmed() -> None:
    sink = MemorySink()
    assert isinstance(sink, Announcer)
    keys = [sink.add_samples(ROWS) for _ in range(3)]
    await sink.confirm(keys[:1])
    assert sink.offers() == [SeqRange("memory", Lane.PROCESS, 2, 3)]


async def taken(sink: MemorySink, *, live: bool) -> list[BatchKey]:
    return [batch.key for batch in await sink.take(Lane.PROCESS, live=live, max_batches=9, max_bytes=9999)]

"""The primary host: both STATE forms, and what may have been missed by it."""

from __future__ import annotations

import pytest

from edged.types import NANOSECONDS_PER_SECOND
from edged_connectors.north.host import Doubt, HostState, PrimaryHost

MODERN = "spBv1.0/STATE/scada"
LEGACY = "STATE/scada"
KEEP_ALIVE_SECONDS = 10
WINDOW = 20 * NANOSECONDS_PER_SECOND


def at(seconds: float) -> int:
    return 1_790_000_000 * NANOSECONDS_PER_SECOND + round(seconds * NANOSECONDS_PER_SECOND)


def modern(online: bool, timestamp: int) -> bytes:
    return f'{{"online":{str(online).lower()},"timestamp":{timestamp}}}'.encode()


def host() -> PrimaryHost:
    made = PrimaryHost("scada", KEEP_ALIVE_SECONDS)
    made.connected()
    return made


def test_without_a_primary_host_everything_is_ready() -> None:
    made = PrimaryHost(None, KEEP_ALIVE_SECONDS)
    made.connected()
    made.lost(at(0))
    assert (made.state, made.ready, made.topics, made.doubt(at(1))) == (HostState.UNUSED, True, (), None)


@pytest.mark.parametrize(
    ("topic", "online", "offline"),
    [
        (MODERN, modern(online=True, timestamp=5), modern(online=False, timestamp=5)),
        (LEGACY, b"ONLINE", b"OFFLINE"),
        (LEGACY, b" online ", b"offline"),
    ],
)
def test_both_forms_open_and_close_the_gate(topic: str, online: bytes, offline: bytes) -> None:
    made = host()
    assert made.state == HostState.UNKNOWN
    assert not made.ready
    assert made.hear(topic, online, retained=True, now=at(0))
    assert made.ready
    assert made.hear(topic, offline, retained=False, now=at(1))
    assert (made.state, made.ready) == (HostState.OFFLINE, False)


@pytest.mark.parametrize(
    "payload", [b"", b"perhaps", b"[]", b"{}", b'{"online":1}', b'{"online":"true"}', b"\xff\xfe", b"null", b"{"]
)
def test_nonsense_changes_nothing(payload: bytes) -> None:
    made = host()
    made.hear(MODERN, modern(online=True, timestamp=5), retained=True, now=at(0))
    assert not made.hear(MODERN, payload, retained=False, now=at(1))
    assert made.ready


def test_another_host_changes_nothing() -> None:
    made = host()
    assert not made.hear("spBv1.0/STATE/other", modern(online=True, timestamp=5), retained=True, now=at(0))
    assert not made.ready


def test_an_older_death_does_not_close_the_gate() -> None:
    made = host()
    made.hear(MODERN, modern(online=True, timestamp=10), retained=True, now=at(0))
    assert made.hear(MODERN, modern(online=False, timestamp=9), retained=False, now=at(1))
    assert made.ready


def test_a_leftover_legacy_message_does_not_overrule_the_modern_form() -> None:
    made = host()
    made.hear(MODERN, modern(online=True, timestamp=10), retained=True, now=at(0))
    assert made.hear(LEGACY, b"OFFLINE", retained=True, now=at(0))
    assert made.ready


def test_data_of_twice_the_keep_alive_before_the_death_is_in_doubt_at_once() -> None:
    made = host()
    made.hear(MODERN, modern(online=True, timestamp=10), retained=True, now=at(0))
    assert made.doubt(at(1)) is None
    made.hear(MODERN, modern(online=False, timestamp=10), retained=False, now=at(100))
    assert made.doubt(at(101)) == Doubt(at(100) - WINDOW, at(101))
    assert made.doubt(at(102)) is None


def test_the_same_with_the_legacy_form() -> None:
    made = host()
    made.hear(LEGACY, b"ONLINE", retained=True, now=at(0))
    made.hear(LEGACY, b"OFFLINE", retained=False, now=at(100))
    assert made.doubt(at(101)) == Doubt(at(100) - WINDOW, at(101))


def test_a_death_found_on_the_next_connection_counts_from_the_last_sight() -> None:
    made = host()
    made.hear(MODERN, modern(online=True, timestamp=10), retained=True, now=at(0))
    made.lost(at(100))
    made.connected()
    made.hear(MODERN, modern(online=False, timestamp=10), retained=True, now=at(150))
    assert made.doubt(at(151)) == Doubt(at(100) - WINDOW, at(151))


def test_a_host_that_stayed_while_we_were_away_missed_nothing() -> None:
    made = host()
    made.hear(MODERN, modern(online=True, timestamp=10), retained=True, now=at(0))
    made.lost(at(50))
    made.connected()
    assert not made.ready
    made.hear(MODERN, modern(online=True, timestamp=10), retained=True, now=at(60))
    assert made.doubt(at(61)) is None


def test_a_host_that_was_born_again_while_we_were_away_may_have_missed_something() -> None:
    made = host()
    made.hear(MODERN, modern(online=True, timestamp=10), retained=True, now=at(0))
    made.lost(at(50))
    made.connected()
    made.hear(MODERN, modern(online=True, timestamp=55), retained=True, now=at(60))
    assert made.doubt(at(61)) == Doubt(at(50) - WINDOW, at(61))


def test_what_an_earlier_run_of_the_daemon_knew_counts() -> None:
    made = PrimaryHost("scada", KEEP_ALIVE_SECONDS, timestamp=10, seen=at(50))
    made.connected()
    made.hear(MODERN, modern(online=True, timestamp=99), retained=True, now=at(200))
    assert made.doubt(at(201)) == Doubt(at(50) - WINDOW, at(201))


def test_the_first_host_ever_is_owed_nothing() -> None:
    made = host()
    made.hear(MODERN, modern(online=True, timestamp=10), retained=False, now=at(0))
    assert made.doubt(at(1)) is None


def test_a_host_that_changes_places_without_a_death_is_in_doubt_from_now() -> None:
    made = host()
    made.hear(MODERN, modern(online=True, timestamp=10), retained=True, now=at(0))
    made.hear(MODERN, modern(online=True, timestamp=70), retained=False, now=at(70))
    assert made.ready
    assert made.doubt(at(71)) == Doubt(at(70) - WINDOW, at(71))

"""Secrets: made once, kept as a hash, checked, replaced."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edged.clock import VirtualClock
from edged.errors import ConfigError
from edged_hub.identities import REMEMBERED_SECONDS, Identities, WrongName, new_identity
from edged_hub.settings import HubServerSettings
from edged_hub.sqlite_store import SqliteStore
from edged_hub.store import IdentityKind, Role


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def store(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "hub.db", clock)
    yield opened
    await opened.close()


@pytest.fixture
def identities(store: SqliteStore, clock: VirtualClock) -> Identities:
    return Identities(store, clock)


async def enroll(store: SqliteStore, kind: IdentityKind = IdentityKind.EDGE, role: Role = Role.EDGE) -> str:
    identity, secret = new_identity(kind, "line_a", role, 1)
    await store.put_identity(identity)
    return secret


async def test_a_secret_tells_whose_it_is(store: SqliteStore, identities: Identities) -> None:
    caller = await identities.check(await enroll(store))
    assert caller is not None
    assert (caller.kind, caller.name, caller.role) == (IdentityKind.EDGE, "line_a", Role.EDGE)


async def test_an_edge_and_a_user_of_one_name_are_apart(store: SqliteStore, identities: Identities) -> None:
    edge, user = await enroll(store), await enroll(store, IdentityKind.USER, Role.VIEWER)
    callers = [await identities.check(edge), await identities.check(user)]
    assert [caller.kind for caller in callers if caller] == [IdentityKind.EDGE, IdentityKind.USER]
    assert await identities.check(edge.replace("edge.", "user.", 1)) is None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300), st.sampled_from(["", "edge.line_a.", "user."]))
async def test_nothing_else_is_a_secret(store: SqliteStore, identities: Identities, noise: str, prefix: str) -> None:
    await enroll(store)
    assert await identities.check(prefix + noise) is None


async def test_a_replaced_secret_is_refused_once_it_is_forgotten(
    store: SqliteStore, identities: Identities, clock: VirtualClock
) -> None:
    old = await enroll(store)
    assert await identities.check(old) is not None
    new = await enroll(store)
    assert await identities.check(new) is not None
    clock.tick(REMEMBERED_SECONDS)
    assert await identities.check(old) is None
    assert await identities.check(new) is not None


async def test_a_refused_secret_works_soon_after_it_is_enrolled(
    store: SqliteStore, identities: Identities, clock: VirtualClock
) -> None:
    identity, secret = new_identity(IdentityKind.EDGE, "line_a", Role.EDGE, 1)
    assert await identities.check(secret) is None
    await store.put_identity(identity)
    clock.tick(REMEMBERED_SECONDS)
    assert await identities.check(secret) is not None


def test_only_a_salted_hash_is_kept_and_every_secret_is_new() -> None:
    one, secret = new_identity(IdentityKind.EDGE, "line_a", Role.EDGE, 1)
    other, again = new_identity(IdentityKind.EDGE, "line_a", Role.EDGE, 1)
    assert secret != again
    assert one.salt != other.salt
    assert secret.encode() not in one.hash


@pytest.mark.parametrize("name", ["", "Line_A", "line a", "1line", "line.a", "a" * 65, "../x"])
def test_a_wrong_name_is_refused(name: str) -> None:
    with pytest.raises(WrongName):
        new_identity(IdentityKind.EDGE, name, Role.EDGE, 1)


def test_beyond_this_machine_tls_or_a_proxy_is_demanded() -> None:
    with pytest.raises(ConfigError, match="--host 0\\.0\\.0\\.0: beyond this machine give --certificate"):
        HubServerSettings(host="0.0.0.0")
    assert not HubServerSettings(host="0.0.0.0", behind_proxy=True).local
    assert not HubServerSettings(host="::", certificate=Path("c"), key=Path("k")).local
    assert HubServerSettings(host="::1").local


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(ConfigError, match="belong together"):
        HubServerSettings(certificate=Path("c"))

"""Every security policy with every kind of user, and which servers we trust, against real servers (CARD2)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edged.errors import AccessRefused
from edged.settings import Secret
from edged_connectors.south.opcua import KIND
from tests.integration.connector_contract import collect
from tests.integration.opcua_certificates import make_pairs
from tests.integration.opcua_rig import ServerProcess, setup_of, signal_of
from tests.integration.recording_road import RecordingRoad
from tests.integration.source_at_work import fresh, running

FAULT_SECONDS = 10.0
READING = signal_of("reading")
POLICIES = [
    ("None", "SignAndEncrypt"),
    *(
        (policy, mode)
        for policy in ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss")
        for mode in ("Sign", "SignAndEncrypt")
    ),
]
USERS = ("anonymous", "password", "certificate")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key pairs: the server's and its next one, ours and a user's which it trusts, and a stranger's."""
    folder = tmp_path_factory.mktemp("certificates")
    return make_pairs(folder, "server", "renewed", "ours", "operator", "stranger", trusted=("ours", "operator"))


def arguments(folder: Path, server: str = "server") -> tuple[str, ...]:
    """A server with every policy and every kind of user."""
    pair = ("--certificate", str(folder / f"{server}.der"), "--key", str(folder / f"{server}.pem"))
    return (*pair, "--trusted", str(folder / "trusted"), "--every-policy", "--user", "operator:secret")


@pytest.fixture(scope="module")
def server(certificates: Path) -> Iterator[ServerProcess]:
    process = ServerProcess(*arguments(certificates))
    process.start_now()
    yield process
    process.kill_now()


def options_of(folder: Path, tmp_path: Path, policy: str = "Basic256Sha256", user: str = "anonymous") -> dict[str, Any]:
    """Options of a source that knows the server by its pinned certificate."""
    options: dict[str, Any] = {}
    if policy != "None":
        options = {"security_policy": policy, "certificate": folder / "ours.der", "key": folder / "ours.pem"}
        options["server_certificate"] = folder / "server.der"
    if user == "password":
        (tmp_path / "password").write_text("secret")
        options |= {"username": "operator", "password": Secret(file=tmp_path / "password")}
    if user == "certificate":
        options |= {"user_certificate": folder / "operator.der", "user_key": folder / "operator.pem"}
    return options


def trusting(folder: Path, trust: Path, **more: Any) -> dict[str, Any]:
    """Options of a source that knows servers by a trust folder."""
    options = options_of(folder, trust)
    del options["server_certificate"]
    return options | {"trust_folder": trust} | more


async def refused(endpoint: str, folder: Path, **options: Any) -> str:
    """What connecting says when it is refused."""
    connector = KIND.build(setup_of(endpoint, [READING], folder, **options))
    try:
        with pytest.raises(AccessRefused) as caught:
            await connector.connect()
        return str(caught.value)
    finally:
        await connector.close()


async def accepted(endpoint: str, folder: Path, **options: Any) -> None:
    """Connects and reads a value."""
    connector = KIND.build(setup_of(endpoint, [READING], folder, **options))
    try:
        await connector.connect()
        await collect(connector, lambda samples: any(s.quality for s in samples), 10.0)
    finally:
        await connector.close()


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize(("policy", "mode"), POLICIES)
async def test_every_policy_reads_values_for_every_user(
    server: ServerProcess, certificates: Path, tmp_path: Path, policy: str, mode: str, user: str
) -> None:
    options = options_of(certificates, tmp_path, policy, user)
    await accepted(server.endpoint, tmp_path, security_mode=mode, **options)


async def test_a_user_whose_certificate_the_server_does_not_know(
    server: ServerProcess, certificates: Path, tmp_path: Path
) -> None:
    options = options_of(certificates, tmp_path)
    stranger = {"user_certificate": certificates / "stranger.der", "user_key": certificates / "stranger.pem"}
    said = await refused(server.endpoint, tmp_path, **options, **stranger)
    assert "stranger.der" in said


async def test_a_user_certificate_that_is_not_there(server: ServerProcess, certificates: Path, tmp_path: Path) -> None:
    absent = {"user_certificate": tmp_path / "absent.der", "user_key": tmp_path / "absent.pem"}
    assert "absent.der" in await refused(server.endpoint, tmp_path, **options_of(certificates, tmp_path), **absent)


async def test_a_policy_that_the_server_does_not_offer_names_those_that_it_does(
    certificates: Path, tmp_path: Path
) -> None:
    process = ServerProcess(*arguments(certificates)[:6])
    await process.start()
    try:
        options = trusting(certificates, tmp_path, security_policy="Aes256Sha256RsaPss")
        said = await refused(process.endpoint, tmp_path, **options)
        assert "does not offer Aes256Sha256RsaPss SignAndEncrypt" in said
        assert "Basic256Sha256 SignAndEncrypt" in said
    finally:
        await process.kill()


async def test_a_server_that_is_not_trusted_is_refused_until_its_file_is_moved(
    server: ServerProcess, certificates: Path, tmp_path: Path
) -> None:
    options = trusting(certificates, tmp_path)
    said = await refused(server.endpoint, tmp_path, **options)
    (rejected,) = (tmp_path / "rejected").iterdir()
    assert rejected.read_bytes() == (certificates / "server.der").read_bytes()
    assert f"move {rejected} to {tmp_path / 'trusted'}" in said
    rejected.rename(tmp_path / "trusted" / rejected.name)
    await accepted(server.endpoint, tmp_path, **options)


async def test_the_first_contact_is_trusted_and_kept_only_when_asked_for(
    server: ServerProcess, certificates: Path, tmp_path: Path
) -> None:
    await accepted(server.endpoint, tmp_path, **trusting(certificates, tmp_path, trust_first_contact=True))
    (kept,) = (tmp_path / "trusted").iterdir()
    assert kept.read_bytes() == (certificates / "server.der").read_bytes()
    await accepted(server.endpoint, tmp_path, **trusting(certificates, tmp_path))


async def test_a_certificate_replaced_while_running_is_a_clear_fault_until_it_is_trusted(
    certificates: Path, tmp_path: Path
) -> None:
    process = ServerProcess(*arguments(certificates), "--counters", "1")
    await process.start()
    road = RecordingRoad()
    options = trusting(certificates, tmp_path, trust_first_contact=True)
    try:
        async with running(setup_of(process.endpoint, [signal_of("c0")], tmp_path, **options), road) as runner:
            await fresh(road)
            await process.kill()
            await process.start(*arguments(certificates, "renewed"), "--counters", "1")
            async with asyncio.timeout(FAULT_SECONDS):
                while "another certificate than before" not in runner.status().last_fault:
                    await asyncio.sleep(0.05)
            (rejected,) = (tmp_path / "rejected").iterdir()
            assert str(rejected) in runner.status().last_fault
            rejected.rename(tmp_path / "trusted" / rejected.name)
            await fresh(road, 15.0)
    finally:
        await process.kill()

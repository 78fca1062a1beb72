"""Users and certificates: what is right connects, what is wrong is told with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edged.errors import AccessRefused, SourceUnreachable
from edged.settings import Secret
from edged_connectors.south.opcua import KIND
from tests.integration.connector_contract import collect
from tests.integration.opcua_certificates import make_pairs
from tests.integration.opcua_rig import ServerProcess, setup_of, signal_of

READING = signal_of("reading")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key pairs: the server's, ours which it trusts, and a stranger's which it does not."""
    folder = tmp_path_factory.mktemp("certificates")
    return make_pairs(folder, "server", "ours", "stranger", trusted=("ours",))


@pytest.fixture(scope="module")
def secured(certificates: Path) -> Iterator[ServerProcess]:
    """A server that takes only certificates that it trusts."""
    process = ServerProcess(
        *("--certificate", str(certificates / "server.der"), "--key", str(certificates / "server.pem")),
        *("--trusted", str(certificates / "trusted")),
    )
    process.start_now()
    yield process
    process.kill_now()


@pytest.fixture(scope="module")
def guarded() -> Iterator[ServerProcess]:
    """A server that knows one user."""
    process = ServerProcess("--user", "operator:secret")
    process.start_now()
    yield process
    process.kill_now()


def security(folder: Path, ours: str, server: str = "server") -> dict[str, Any]:
    """Options of a secured source."""
    return {
        "security_policy": "Basic256Sha256",
        "certificate": folder / f"{ours}.der",
        "key": folder / f"{ours}.pem",
        "server_certificate": folder / f"{server}.der",
    }


def user(folder: Path, password: str) -> dict[str, Any]:
    """Options of a source with a user."""
    secret = folder / "password"
    secret.write_text(password)
    return {"username": "operator", "password": Secret(file=secret)}


async def fault_of(endpoint: str, folder: Path, **options: Any) -> Exception:
    """What connecting raises."""
    connector = KIND.build(setup_of(endpoint, [READING], folder, **options))
    try:
        with pytest.raises((AccessRefused, SourceUnreachable)) as caught:
            await connector.connect()
        return caught.value
    finally:
        await connector.close()


async def test_a_trusted_certificate_reads_values(secured: ServerProcess, certificates: Path, tmp_path: Path) -> None:
    connector = KIND.build(setup_of(secured.endpoint, [READING], tmp_path, **security(certificates, "ours")))
    try:
        await connector.connect()
        await secured.set("reading", 5.0)
        await collect(connector, lambda samples: any(s.value == 5.0 for s in samples), 10.0)
    finally:
        await connector.close()


async def test_a_certificate_that_the_server_does_not_trust(
    secured: ServerProcess, certificates: Path, tmp_path: Path
) -> None:
    fault = await fault_of(secured.endpoint, tmp_path, **security(certificates, "stranger"))
    assert isinstance(fault, AccessRefused)
    assert "stranger.der on the server" in str(fault)


async def test_a_server_that_is_not_the_one_we_trust(
    secured: ServerProcess, certificates: Path, tmp_path: Path
) -> None:
    fault = await fault_of(secured.endpoint, tmp_path, **security(certificates, "ours", server="stranger"))
    assert isinstance(fault, AccessRefused)
    assert "stranger.der is the server's own" in str(fault)


async def test_no_security_where_the_server_demands_it(secured: ServerProcess, tmp_path: Path) -> None:
    fault = await fault_of(secured.endpoint, tmp_path)
    assert isinstance(fault, AccessRefused)


async def test_a_certificate_file_that_is_not_there(secured: ServerProcess, certificates: Path, tmp_path: Path) -> None:
    fault = await fault_of(secured.endpoint, tmp_path, **security(certificates, "nobody"))
    assert isinstance(fault, AccessRefused)
    assert "nobody.der" in str(fault)


async def test_a_file_that_is_no_certificate(secured: ServerProcess, certificates: Path, tmp_path: Path) -> None:
    (tmp_path / "junk.der").write_bytes(b"not a certificate")
    options = security(certificates, "ours") | {"certificate": tmp_path / "junk.der"}
    assert isinstance(await fault_of(secured.endpoint, tmp_path, **options), AccessRefused)


async def test_the_right_user_reads_values(guarded: ServerProcess, tmp_path: Path) -> None:
    connector = KIND.build(setup_of(guarded.endpoint, [READING], tmp_path, **user(tmp_path, "secret")))
    try:
        connection = await connector.connect()
        assert [status.accepted for status in connection.signals] == [True]
    finally:
        await connector.close()


@pytest.mark.parametrize("password", ["wrong", "x" * 300])
async def test_a_wrong_password(guarded: ServerProcess, tmp_path: Path, password: str) -> None:
    fault = await fault_of(guarded.endpoint, tmp_path, **user(tmp_path, password))
    assert isinstance(fault, AccessRefused)
    assert "operator" in str(fault)
    assert "password" in str(fault)


async def test_nobody_where_a_user_is_demanded(guarded: ServerProcess, tmp_path: Path) -> None:
    fault = await fault_of(guarded.endpoint, tmp_path)
    assert isinstance(fault, AccessRefused)
    assert "anonymous" in str(fault)


async def test_a_secret_that_is_not_there(guarded: ServerProcess, tmp_path: Path) -> None:
    options = {"username": "operator", "password": Secret(file=tmp_path / "nowhere")}
    fault = await fault_of(guarded.endpoint, tmp_path, **options)
    assert isinstance(fault, AccessRefused)
    assert str(tmp_path / "nowhere") in str(fault)

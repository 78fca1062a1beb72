"""Users, certificates and other brokers: what is refused is named, what is allowed works."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from edged.errors import AccessRefused, EdgedError, SourceLost, SourceUnreachable
from tests.integration.brokers import (
    MosquittoBroker,
    free_port,
    mosquitto_broker,
    mosquitto_program,
    wait_until_listening,
)
from tests.integration.certificates import Authority
from tests.integration.test_mqtt_connector import connector, document, gather, numbers_of, publish

PASSWORD = "correct horse"


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """A password file with one user."""
    mosquitto_program()
    found = tmp_path / "users"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(found), "ingest", PASSWORD], check=True, capture_output=True)
    return found


@pytest.fixture
async def guarded(tmp_path: Path, users: Path) -> AsyncIterator[MosquittoBroker]:
    """A broker that knows one user."""
    extra = ["allow_anonymous false", f"password_file {users}"]
    async with mosquitto_broker(tmp_path / "broker", extra) as broker:
        yield broker


def login(folder: Path, password: str) -> dict[str, Any]:
    secret = folder / "secret"
    secret.write_text(password + "\n")
    return {"username": "ingest", "password": {"file": str(secret)}}


@pytest.mark.mosquitto
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_wrong_password_is_refused(guarded: MosquittoBroker, tmp_path: Path, protocol: str) -> None:
    for broker in ({}, login(tmp_path, "wrong")):
        built = connector(guarded.port, broker=broker, protocol=protocol)
        with pytest.raises(AccessRefused, match=r"[Nn]ot authori[sz]ed|[Bb]ad user"):
            await built.connect()
        await built.close()


@pytest.mark.mosquitto
async def test_the_right_password_is_accepted(guarded: MosquittoBroker, tmp_path: Path) -> None:
    built = connector(guarded.port, broker=login(tmp_path, PASSWORD))
    assert len((await built.connect()).signals) == 3
    await built.close()


@pytest.mark.mosquitto
async def test_a_missing_secret_names_its_place(guarded: MosquittoBroker, tmp_path: Path) -> None:
    missing = {"username": "ingest", "password": {"file": str(tmp_path / "nowhere")}}
    with pytest.raises(AccessRefused, match="nowhere"):
        await connector(guarded.port, broker=missing).connect()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
async def encrypted(tmp_path: Path, authority: Authority) -> AsyncIterator[MosquittoBroker]:
    """A broker that asks for a client certificate."""
    certificate, key = authority.issue("broker")
    listener = [
        f"cafile {authority.certificate}",
        f"certfile {certificate}",
        f"keyfile {key}",
        "require_certificate true",
    ]
    async with mosquitto_broker(tmp_path / "broker", listener=listener) as broker:
        yield broker


@pytest.mark.mosquitto
async def test_mutual_tls(encrypted: MosquittoBroker, authority: Authority) -> None:
    certificate, key = authority.issue("edge")
    tls = {"authority": str(authority.certificate), "certificate": str(certificate), "key": str(key)}
    built = connector(encrypted.port, broker={"tls": tls})
    await built.connect()
    parameters = aiomqtt.TLSParameters(str(authority.certificate), str(certificate), str(key))
    async with aiomqtt.Client("127.0.0.1", encrypted.port, tls_params=parameters) as client:
        for number in range(200):
            await client.publish("works/line/lehr", document(number), qos=1)
    assert numbers_of(await gather(built, 400)) == list(range(200))
    await built.close()


@pytest.mark.mosquitto
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")  # paho leaves it to the collector
async def test_tls_without_what_the_broker_wants_is_refused_in_time(
    encrypted: MosquittoBroker, authority: Authority, tmp_path: Path
) -> None:
    stranger, stranger_key = Authority(tmp_path / "stranger", "stranger").issue("edge")
    ours = {"authority": str(authority.certificate)}
    not_trusted = {"authority": str(tmp_path / "stranger" / "authority.pem")}
    for tls in (
        ours,
        {**ours, "certificate": str(stranger), "key": str(stranger_key)},
        not_trusted,
        {"authority": str(tmp_path / "nowhere.pem")},
    ):
        async with asyncio.timeout(5):
            with pytest.raises(EdgedError) as caught:
                await connector(encrypted.port, broker={"tls": tls}, connect_timeout_seconds=2).connect()
        assert isinstance(caught.value, AccessRefused), tls
    gc.collect()


@pytest.mark.mosquitto
async def test_a_broker_that_wants_tls_is_not_reached_without(encrypted: MosquittoBroker) -> None:
    with pytest.raises(SourceUnreachable):
        await connector(encrypted.port, connect_timeout_seconds=2).connect()


@pytest.mark.mosquitto
async def test_a_second_client_with_our_name_takes_the_session_over(tmp_path: Path) -> None:
    async with mosquitto_broker(tmp_path / "broker") as broker:
        first = connector(broker.port)
        await first.connect()
        second = connector(broker.port)
        assert (await second.connect()).resumed
        with pytest.raises(SourceLost):
            await gather(first, 1)
        await first.close()
        await publish(broker.port, [3])
        assert numbers_of(await gather(second, 2)) == [3]
        await second.close()


AMQTT = """
import asyncio, sys
from amqtt.broker import Broker
async def main():
    listener = {"type": "tcp", "bind": f"127.0.0.1:{sys.argv[1]}"}
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    broker = Broker({"listeners": {"default": listener}, "plugins": plugins})
    await broker.start()
    await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_the_embedded_broker_serves_the_thin_path(tmp_path: Path) -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", AMQTT, str(port), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await wait_until_listening(port)
        built = connector(port, protocol="3.1.1")
        await built.connect()
        await publish(port, range(100))
        assert numbers_of(await gather(built, 200)) == list(range(100))
        await built.close()
    finally:
        process.kill()
        await process.wait()

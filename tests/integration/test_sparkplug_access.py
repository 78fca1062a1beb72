"""TLS, passwords and wrong ones: each says what is wrong, in time, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import datetime
from pathlib import Path

import aiomqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edged.errors import AccessRefused, SourceUnreachable
from edged.settings import BrokerSettings, Secret, Tls
from edged.supervise import start_task
from edged_connectors.north.connection import Connection
from tests.integration.brokers import free_port, mosquitto_broker
from tests.integration.sparkplug_bench import Bench
from tests.integration.sparkplug_host import READY_SECONDS

pytestmark = pytest.mark.mosquitto
LOOPBACK = "localhost"
STOP_SECONDS = 1.0
PASSWORD_LINE = (
    "edged:$7$101$32bdMW71sYwiL8TU$vDgEF6xRnDGd4xCr+bN50NPL974RnoHP3TB3yk75"
    "8eUWAOntYC4jJjql6rY1BbVd+5AFSkv/7p1CIP+jOfdKdw==\n"
)
"""User edged, password glass, as mosquitto_passwd writes it."""


class Authority:
    """A certificate authority of the test, and what it signed, as files."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = folder / f"{name}.crt"
        made = _certificate(self._name, self._name, self._key, self._key, authority=True)
        self.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def sign(self, name: str) -> tuple[Path, Path]:
        """(certificate, key) of that name, valid for localhost."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = _certificate(subject, self._name, key, self._key, authority=False)
        certificate, secret = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate, secret


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    authority: bool,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(LOOPBACK)]), critical=False)
    )
    return builder.sign(signer, hashes.SHA256())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


def tls_listener(authority: Authority, *, clients: bool) -> list[str]:
    certificate, key = authority.sign("server")
    lines = [f"cafile {authority.certificate}", f"certfile {certificate}", f"keyfile {key}", "tls_version tlsv1.3"]
    return [*lines, "require_certificate true"] if clients else lines


async def test_mutual_tls_opens(tmp_path: Path, authority: Authority) -> None:
    listener = tls_listener(authority, clients=True)
    certificate, key = authority.sign("edged")
    async with mosquitto_broker(tmp_path / "broker", listener=listener) as broker:
        tls = Tls(authority=authority.certificate, certificate=certificate, key=key)
        bench = Bench(tmp_path, [BrokerSettings(host=LOOPBACK, port=broker.port, tls=tls)])
        async with bench.running():
            await until_online(bench)


async def test_without_the_client_certificate_it_ends_in_time_and_says_what_is_missing(
    tmp_path: Path, authority: Authority
) -> None:
    listener = tls_listener(authority, clients=True)
    async with mosquitto_broker(tmp_path / "broker", listener=listener) as broker:
        tls = Tls(authority=authority.certificate)
        bench = Bench(tmp_path, [BrokerSettings(host=LOOPBACK, port=broker.port, tls=tls)])
        with pytest.raises((SourceUnreachable, AccessRefused), match="certificate"):
            await bench.node.run()


async def test_a_server_of_another_authority_is_refused(tmp_path: Path, authority: Authority) -> None:
    stranger = Authority(tmp_path, "stranger")
    async with mosquitto_broker(tmp_path / "broker", listener=tls_listener(stranger, clients=False)) as broker:
        tls = Tls(authority=authority.certificate)
        bench = Bench(tmp_path, [BrokerSettings(host=LOOPBACK, port=broker.port, tls=tls)])
        with pytest.raises(AccessRefused, match="certificate verify failed"):
            await bench.node.run()


async def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    tls = Tls(authority=tmp_path / "absent.crt")
    bench = Bench(tmp_path, [BrokerSettings(tls=tls)])
    with pytest.raises(AccessRefused, match=r"absent\.crt"):
        await bench.node.run()


async def test_a_password_opens_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text(PASSWORD_LINE)
    passwords.chmod(0o600)
    (tmp_path / "right").write_text("glass\n")
    (tmp_path / "wrong").write_text("sand\n")
    extra = ["allow_anonymous false", f"password_file {passwords}"]
    async with mosquitto_broker(tmp_path / "broker", extra=extra) as broker:

        def bench(secret: str) -> Bench:
            password = Secret(file=tmp_path / secret)
            return Bench(tmp_path, [BrokerSettings(port=broker.port, username="edged", password=password)])

        for secret, message in (("wrong", "authori"), ("absent", "not there")):
            with pytest.raises(AccessRefused, match=f"(?i){message}"):
                await bench(secret).node.run()
        right = bench("right")
        async with right.running():
            await until_online(right)


async def test_nobody_at_home_is_said_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [BrokerSettings(port=free_port())])
    with pytest.raises(SourceUnreachable, match="refused"):
        await bench.node.run()


async def test_a_stop_while_connecting_does_not_wait_for_the_answer() -> None:
    accepted = asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await asyncio.sleep(STOP_SECONDS)
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = Connection(BrokerSettings(port=port), "test", 10, aiomqtt.Will("will", b"", 1))
    opening = start_task("opening", connection.open())
    await asyncio.wait_for(accepted.wait(), READY_SECONDS)
    opening.cancel()
    async with asyncio.timeout(STOP_SECONDS):
        await asyncio.wait({opening})
    assert opening.cancelled()
    server.close()
    await server.wait_closed()
    await asyncio.sleep(STOP_SECONDS)


async def until_online(bench: Bench) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while not bench.node.status().online:
            await asyncio.sleep(0.02)

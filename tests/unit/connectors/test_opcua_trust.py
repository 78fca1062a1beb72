"""Which server certificates the folder trusts, and what becomes of the others."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from edged.errors import AccessRefused
from edged_connectors.south.opcua_trust import MOST_REJECTED, TrustFolder

ENDPOINT = "opc.tcp://plc-1:4841/path"


@cache
def certificate(name: str) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    long_ago = datetime(2001, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(long_ago).not_valid_after(long_ago + timedelta(days=1))
    return builder.sign(key, hashes.SHA256())


def der(name: str) -> bytes:
    return certificate(name).public_bytes(Encoding.DER)


def folder(path: Path, *, first_contact: bool = False, endpoint: str = ENDPOINT) -> TrustFolder:
    return TrustFolder(path, endpoint, first_contact=first_contact)


@pytest.mark.parametrize("encoding", [Encoding.DER, Encoding.PEM])
def test_a_file_of_any_name_is_trusted_whatever_its_dates(tmp_path: Path, encoding: Encoding) -> None:
    (tmp_path / "trusted").mkdir()
    (tmp_path / "trusted" / "plc.crt").write_bytes(certificate("plc").public_bytes(encoding))
    (tmp_path / "trusted" / "readme.txt").write_text("not a certificate")
    folder(tmp_path).judge(der("plc"))
    assert not list((tmp_path / "rejected").iterdir())


def test_a_stranger_is_put_aside_and_the_file_to_move_is_named(tmp_path: Path) -> None:
    with pytest.raises(AccessRefused, match="shows a certificate that is not trusted") as caught:
        folder(tmp_path).judge(der("plc"))
    (file,) = (tmp_path / "rejected").iterdir()
    assert file.name.startswith("plc-1_4841-")
    assert str(file) in str(caught.value)
    assert file.read_bytes() == der("plc")
    file.rename(tmp_path / "trusted" / file.name)
    folder(tmp_path).judge(der("plc"))


def test_a_replaced_certificate_is_called_so(tmp_path: Path) -> None:
    folder(tmp_path, first_contact=True).judge(der("plc"))
    with pytest.raises(AccessRefused, match="shows another certificate than before"):
        folder(tmp_path, first_contact=True).judge(der("other"))


def test_the_first_contact_of_each_server_is_kept(tmp_path: Path) -> None:
    folder(tmp_path, first_contact=True).judge(der("plc"))
    folder(tmp_path, first_contact=True, endpoint="opc.tcp://plc-2:4841/").judge(der("other"))
    assert len(list((tmp_path / "trusted").iterdir())) == 2
    folder(tmp_path).judge(der("plc"))


def test_there_is_no_first_contact_where_a_person_has_chosen_certificates(tmp_path: Path) -> None:
    (tmp_path / "trusted").mkdir()
    (tmp_path / "trusted" / "plc.der").write_bytes(der("plc"))
    with pytest.raises(AccessRefused):
        folder(tmp_path, first_contact=True).judge(der("other"))


def test_what_is_no_certificate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AccessRefused, match="no certificate"):
        folder(tmp_path, first_contact=True).judge(b"junk")


def test_rejected_certificates_do_not_fill_the_disk(tmp_path: Path) -> None:
    (tmp_path / "rejected").mkdir()
    for number in range(MOST_REJECTED):
        old = tmp_path / "rejected" / f"{number}.der"
        old.write_bytes(b"")
        os.utime(old, (number, number))
    with pytest.raises(AccessRefused):
        folder(tmp_path).judge(der("plc"))
    held = {path.name for path in (tmp_path / "rejected").iterdir()}
    assert len(held) == MOST_REJECTED
    assert "0.der" not in held

"""Secrets leave text in whatever form they stand there; places and everything else stay."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.redact import REDACTED, Redactor, looks_random, secrets_of_file

SECRET = 'pa"ss\\wörd/+&=1'


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        repr(SECRET),
        quote(SECRET),
        quote(SECRET, safe=""),
        base64.b64encode(SECRET.encode()).decode(),
        f"x{SECRET}y",
        json.dumps(json.dumps({"a": SECRET})),
        json.dumps(SECRET).replace("/", "\\/"),
        "".join(f"\\u{ord(character):04x}" for character in SECRET),
        quote_plus(SECRET),
        quote(quote(SECRET, safe="")),
        SECRET.encode().hex(" "),
        SECRET.encode().hex(":").upper(),
        " ".join(f"0x{byte:02x}" for byte in SECRET.encode()),
        str(list(SECRET.encode())),
        quote(SECRET, safe="").lower(),
        repr(SECRET.encode()),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        base64.b64encode(f"user:{SECRET}".encode()).decode(),
        base64.b64encode(f"u:{SECRET}, more".encode()).decode(),
        base64.b64encode(f"us:{SECRET}.".encode()).decode(),
    ],
)
def test_a_known_secret_goes_in_every_form(form: str) -> None:
    assert Redactor([SECRET]).text(f"before {form} after").count(REDACTED) == 1


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("password=hunter2 host=a", "password=[secret] host=a"),
        ("password=a,b;c&d)e host=a", "password=[secret] host=a"),
        ("password: correct horse battery", "password: [secret]"),
        ("token=(abc", "token=[secret]"),
        ("pwd='a b' x", "pwd=[secret] x"),
        ("secret=b'a b' x", "secret=b[secret] x"),
        ("a%26password%3Dabc b", "a%26password%3D[secret] b"),
        ("http://h/x?access_token=abc&y=1", "http://h/x?access_token=[secret]"),
        ('{"hub_token": "abc\\"def", "port": 1}', '{"hub_token": [secret], "port": 1}'),
        (r'"{\"password\": \"a b\", \"port\": 1}"', r'"{\"password\": [secret], \"port\": 1}"'),
        (r'{"body": "{\"psk\": \"never closed', r'{"body": "{\"psk\": [secret]'),
        ('{"password": "never closed\nnext', '{"password": [secret]\nnext'),
        ("'api-key': 'k', x", "'api-key': [secret], x"),
        ("brokerPassword = k", "brokerPassword = [secret]"),
        ("Authorization: Bearer abc.def-123", "Authorization: [secret]"),
        ("GET / Bearer abc.def-123", "GET / Bearer [secret]"),
        ("opc.tcp://user:word@plc:4840/x", "opc.tcp://[secret]@plc:4840/x"),
        ("mqtt://user:p@ss/w:rd@plc a@b", "mqtt://[secret]@plc a@b"),
        ("https://token@hub", "https://[secret]@hub"),
        ("-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\n-----END EC PRIVATE KEY-----\nx", "[secret]\nx"),
        (r'{"key": "-----BEGIN PRIVATE KEY-----\nMHcC\n-----END PRIVATE KEY-----"} x', '{"key": [secret]} x'),
        ("-----BEGIN PRIVATE KEY-----\nMHcCAQ", "[secret]"),
        ("cCAQE=\n-----END PRIVATE KEY-----\nx", "[secret]\nx"),
        ("secret:\n  file: hub-secret\n", "secret:\n  file: hub-secret\n"),
        ("compass: north; monkey: 3; passed=7; KeyError: 'x'", "compass: north; monkey: 3; passed=7; KeyError: 'x'"),
        ('edged_samples_total{source="furnace"} 12', 'edged_samples_total{source="furnace"} 12'),
        ("mail user@example.org", "mail user@example.org"),
    ],
)
def test_what_usually_is_a_secret_goes(text: str, left: str) -> None:
    assert Redactor().text(text) == left


def test_json_loses_what_its_keys_name() -> None:
    given_ = {
        "hub": {"url": "https://u:p@hub", "token": {"a": [1]}},
        "note": "is hunter2 really",
        "ports": [1883, 4711],
    }
    assert Redactor(["hunter2", "4711"]).section(given_) == {
        "hub": {"url": f"https://{REDACTED}@hub", "token": REDACTED},
        "note": f"is {REDACTED} really",
        "ports": [1883, REDACTED],
    }


def test_short_secrets_go_where_a_key_names_them_only() -> None:
    assert Redactor(["abc"]).text("abc token=abc") == f"abc token={REDACTED}"


def test_words_go_where_they_stand_alone() -> None:
    assert (
        Redactor(words=["auto", "4711"]).text("auto automatic 4711 14711") == f"{REDACTED} automatic {REDACTED} 14711"
    )


def test_random_words_go_from_free_text() -> None:
    digests = [hashlib.sha256(str(number).encode()) for number in range(500)]
    words = [digest.hexdigest() for digest in digests]
    words += [base64.urlsafe_b64encode(digest.digest()).decode() for digest in digests]
    words += [base64.b64encode(digest.digest()[:16]).decode() for digest in digests]
    cleaned = Redactor().free_text(" ".join(words))
    assert sum(word in cleaned for word in words) <= 1


@pytest.mark.parametrize(
    "word",
    [
        "line_a/furnace/zone_1_temperature",
        "Furnace1TemperatureSetpointOfZone2",
        "3f2b8c1e-0d7a-4c55-9b1e-7a6d5c4b3a21",
        "/opt/edged/lib/python3.11/site-packages/asyncua",
        "BadCertificateUriInvalid",
        "2026-11-29T14:23:36.123456Z",
        "100000000000000000000000",
    ],
)
def test_names_and_times_stay(word: str) -> None:
    assert Redactor().free_text(f"a {word} b") == f"a {word} b"
    assert not looks_random(word)


def test_base64_over_several_lines_goes_to_its_end() -> None:
    wrapped = base64.encodebytes(hashlib.sha512(b"a").digest() + b"b").decode()
    assert Redactor().free_text(f"a\n{wrapped}next line\n") == f"a\n{REDACTED}\n{REDACTED}\nnext line\n"


def test_a_file_of_several_secrets_gives_each(tmp_path: Path) -> None:
    (tmp_path / "two").write_text("edged\nhunter2hunter2\n")
    (tmp_path / "binary").write_bytes(bytes(range(128, 160)))
    assert "hunter2hunter2" in secrets_of_file(tmp_path / "two")
    assert bytes(range(128, 160)).hex() in secrets_of_file(tmp_path / "binary")
    assert secrets_of_file(tmp_path) == secrets_of_file(tmp_path / ("x" * 300)) == []


@pytest.mark.parametrize(
    "unit", ["token", "secret-", "a", "://", "x://y", "-----BEGIN PRIVATE KEY", "password=", '\\"', "aB3"]
)
def test_long_lines_take_no_more_time_than_others(unit: str) -> None:
    assert Redactor(["hunter2"]).free_text(unit * 100_000)


@given(st.text(min_size=4, max_size=20), st.text(max_size=30), st.text(max_size=30))
def test_no_known_secret_survives(secret: str, before: str, after: str) -> None:
    cleaned = Redactor([secret]).free_text(before + secret + after)
    assert secret not in cleaned.replace(REDACTED, "\0")


@given(st.text(max_size=200))
def test_nothing_raises_and_nothing_is_taken_twice(text: str) -> None:
    once = Redactor(["hunter2"]).free_text(text)
    assert Redactor(["hunter2"]).free_text(once) == once

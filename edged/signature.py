"""Signed texts: a payload and its Ed25519 signature, and the public keys that this box trusts.

A signed text is `BASE64URL(payload).BASE64URL(signature)`. What is signed is the purpose, a zero byte and the payload,
so that a signature made for one purpose serves no other.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from edged.errors import EdgedError

ALGORITHM = "ed25519"
OWNER_ONLY = 0o600
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
MAX_TEXT_CHARACTERS = 8192


class BadSignature(EdgedError):
    """The signature is not valid: nothing in the text is believed."""


class NoKey(EdgedError):
    """The key cannot be used: make one with `edged control keygen` and name its public part in the configuration."""


class PublicKey(NamedTuple):
    """A key that this box trusts, and whose it is."""

    name: str
    key: Ed25519PublicKey


def make_key(private: Path, public: Path, name: str) -> None:
    """Writes a new key pair, the private part for the owner only. Raises NoKey; nothing is ever overwritten."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    line = f"{ALGORITHM} {base64.b64encode(raw).decode()} {name}\n"
    try:
        for path, content, mode in ((private, pem, OWNER_ONLY), (public, line.encode(), 0o644)):
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
    except OSError as fault:
        raise NoKey(f"{fault.filename}: {fault.strerror}") from fault


def private_key(path: Path) -> Ed25519PrivateKey:
    """The private key in a file. Raises NoKey."""
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as fault:
        raise NoKey(f"{path}: {fault.strerror}") from fault
    except (ValueError, TypeError, UnsupportedAlgorithm) as fault:
        raise NoKey(f"{path} is not a private key without passphrase: {fault}") from fault
    if not isinstance(key, Ed25519PrivateKey):
        raise NoKey(f"{path} is not an {ALGORITHM} key")
    return key


def public_keys(path: Path) -> tuple[PublicKey, ...]:
    """The keys that a file lists, one a line: algorithm, key in base64, name. Raises NoKey for a file not to trust."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        mode = path.stat().st_mode
    except (OSError, ValueError) as fault:
        raise NoKey(f"{path}: {getattr(fault, 'strerror', None) or fault}") from fault
    if mode & WRITABLE_BY_OTHERS:
        raise NoKey(f"{path} is writable by others, so it is not trusted: chmod 644 {path}")
    return tuple(_public_key(path, number, line) for number, line in enumerate(lines, 1) if _says_something(line))


def sign(payload: bytes, purpose: str, key: Ed25519PrivateKey) -> str:
    """The signed text."""
    return f"{_encode(payload)}.{_encode(key.sign(_signed(payload, purpose)))}"


def verify(text: str, purpose: str, keys: tuple[PublicKey, ...]) -> tuple[bytes, str]:
    """The payload and the name of the key that signed it. Raises BadSignature."""
    first, _, second = text.strip().partition(".")
    if len(text) > MAX_TEXT_CHARACTERS:
        raise BadSignature(f"a signed text has at most {MAX_TEXT_CHARACTERS} characters, got {len(text)}")
    try:
        payload, signature = _decode(first), _decode(second)
    except (ValueError, binascii.Error) as fault:
        raise BadSignature("this is not a signed text") from fault
    for name, key in keys:
        try:
            key.verify(signature, _signed(payload, purpose))
        except InvalidSignature:
            continue
        return payload, name
    raise BadSignature("it is signed by none of the keys that this box trusts")


def _public_key(path: Path, number: int, line: str) -> PublicKey:
    words = line.split()
    if len(words) != 3 or words[0] != ALGORITHM:
        raise NoKey(f"{path}:{number}: expected `{ALGORITHM} KEY NAME`")
    try:
        return PublicKey(words[2], Ed25519PublicKey.from_public_bytes(base64.b64decode(words[1], validate=True)))
    except ValueError as fault:
        raise NoKey(f"{path}:{number}: not a key: {fault}") from fault


def _says_something(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _signed(payload: bytes, purpose: str) -> bytes:
    return purpose.encode() + b"\0" + payload


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)

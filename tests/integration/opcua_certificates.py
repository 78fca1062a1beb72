"""Key pairs as OPC UA wants them: self-signed, with an application URI."""

from __future__ import annotations

import asyncio
import shutil
import socket
from pathlib import Path

from asyncua.crypto.cert_gen import setup_self_signed_certificate
from cryptography.x509.oid import ExtendedKeyUsageOID

BOTH_USES = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]


def make_pairs(folder: Path, *names: str, trusted: tuple[str, ...]) -> Path:
    """NAME.der and NAME.pem for each name; `trusted` of them lie in the folder trusted/ too."""
    for name in names:
        asyncio.run(_make_pair(folder, name))
    (folder / "trusted").mkdir()
    for name in trusted:
        shutil.copy(folder / f"{name}.der", folder / "trusted")
    return folder


async def _make_pair(folder: Path, name: str) -> None:
    key, certificate, uri = folder / f"{name}.pem", folder / f"{name}.der", f"urn:edged:test:{name}"
    await setup_self_signed_certificate(key, certificate, uri, socket.gethostname(), BOTH_USES, {"commonName": name})

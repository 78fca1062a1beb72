"""The servers that we trust, as files: what is not in trusted/ is put into rejected/ and refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from edged.errors import AccessRefused
from edged.log import get_logger

TRUSTED, REJECTED = "trusted", "rejected"
OWNER_ONLY = 0o700
MOST_REJECTED = 50
"""Kept for a person to look at; beyond it the oldest make room."""
OUR_NAME = re.compile(r"-[0-9a-f]{40}\.der$")

log = get_logger("opcua")


class TrustFolder:
    """Trusts exactly the certificates in trusted/, whoever signed them and whatever their dates."""

    def __init__(self, folder: Path, endpoint: str, *, first_contact: bool) -> None:
        place = urlsplit(endpoint)
        self._trusted = folder / TRUSTED
        self._rejected = folder / REJECTED
        self._endpoint = endpoint
        self._server = re.sub(r"[^A-Za-z0-9.-]", "_", f"{place.hostname}_{place.port or 4840}")
        self._first_contact = first_contact

    def judge(self, shown: bytes) -> None:
        """Returns when the certificate (DER) is trusted. Raises AccessRefused with the file to move, or OSError."""
        for folder in (self._trusted, self._rejected):
            folder.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
        name = f"{self._server}-{_thumbprint(shown)}.der"
        known = dict(self._known())
        if shown in known.values():
            return
        ours = [path for path in known if path.name.startswith(f"{self._server}-")]
        if self._first_contact and not ours and all(OUR_NAME.search(path.name) for path in known):
            (self._trusted / name).write_bytes(shown)
            log.warning("server_trusted_at_first_contact", endpoint=self._endpoint, file=str(self._trusted / name))
            return
        self._reject(self._rejected / name, shown)
        what = "shows another certificate than before" if ours else "shows a certificate that is not trusted"
        raise AccessRefused(
            f"{self._endpoint} {what}: if it is the server's own, move {self._rejected / name} to {self._trusted}"
        )

    def _known(self) -> Iterator[tuple[Path, bytes]]:
        for path in sorted(self._trusted.iterdir()):
            try:
                yield path, read_certificate(path).public_bytes(Encoding.DER)
            except (OSError, ValueError):
                log.warning("no_certificate", file=str(path))

    def _reject(self, path: Path, shown: bytes) -> None:
        path.write_bytes(shown)
        held = sorted(self._rejected.glob("*.der"), key=lambda file: file.stat().st_mtime_ns)
        for old in held[: max(0, len(held) - MOST_REJECTED)]:
            old.unlink(missing_ok=True)


def read_certificate(path: Path) -> x509.Certificate:
    """A certificate from a PEM or DER file. Raises OSError or ValueError."""
    content = path.read_bytes()
    pem = b"-----BEGIN" in content
    return x509.load_pem_x509_certificate(content) if pem else x509.load_der_x509_certificate(content)


def _thumbprint(shown: bytes) -> str:
    """As OPC UA tools show it. Raises AccessRefused for what is no certificate."""
    try:
        certificate = x509.load_der_x509_certificate(shown)
    except ValueError as fault:
        raise AccessRefused(f"the server shows something that is no certificate: {fault}") from fault
    return certificate.fingerprint(hashes.SHA1()).hex()  # noqa: S303 - names a file; trust compares every byte

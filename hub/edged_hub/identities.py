"""Who may talk to the hub. A secret names its identity and is shown once; only a salted hash is kept.

The secret's random part has 256 bits, so a plain salted hash is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from edged.clock import Clock
from edged.errors import EdgedError
from edged_cloud_sync.wire import NODE_PATTERN
from edged_cloud_sync.wire_commands import USER_PATTERN
from edged_hub.store import Identity, IdentityKind, Role, Store

RANDOM_BYTES = 32
SALT_BYTES = 16
REMEMBERED_SECONDS = 2.0
"""A checked secret is believed this long, and so is a refused one: a replaced secret stops working this soon."""
REMEMBERED_SECRETS = 4096
MAX_TOKEN_LENGTH = 256


class WrongName(EdgedError):
    """A name has lower-case letters, digits and underscores, starts with a letter, and has at most 64 characters."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request."""

    kind: IdentityKind
    name: str
    role: Role


def new_identity(kind: IdentityKind, name: str, role: Role, now: int) -> tuple[Identity, str]:
    """An identity and its secret, `kind.name.random`. Raises WrongName."""
    pattern = NODE_PATTERN if kind is IdentityKind.EDGE else USER_PATTERN
    if pattern.fullmatch(name) is None:
        raise WrongName(f"{kind} {name!r}")
    secret = f"{kind}.{name}.{secrets.token_urlsafe(RANDOM_BYTES)}"
    salt = secrets.token_bytes(SALT_BYTES)
    return Identity(kind, name, role, salt, _hash(salt, secret), now), secret


class Identities:
    """Checks secrets against the store; remembers verdicts briefly, so that a POST costs no query."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._remembered: dict[bytes, tuple[float, Caller | None]] = {}

    async def check(self, secret: str) -> Caller | None:
        """Whose secret it is, or None. Raises StoreUnavailable."""
        if len(secret) > MAX_TOKEN_LENGTH:
            return None
        now = self._clock.monotonic()
        digest = hashlib.sha256(secret.encode()).digest()
        until, caller = self._remembered.get(digest, (0.0, None))
        if now < until:
            return caller
        caller = await self._look_up(secret)
        if len(self._remembered) >= REMEMBERED_SECRETS:
            self._remembered.clear()
        self._remembered[digest] = (now + REMEMBERED_SECONDS, caller)
        return caller

    async def _look_up(self, secret: str) -> Caller | None:
        kind, _, rest = secret.partition(".")
        name, _, random = rest.partition(".")
        if kind not in set(IdentityKind) or not name or not random:
            return None
        identity = await self._store.identity(IdentityKind(kind), name)
        if identity is None or not hmac.compare_digest(identity.hash, _hash(identity.salt, secret)):
            return None
        return Caller(identity.kind, identity.name, identity.role)


def _hash(salt: bytes, secret: str) -> bytes:
    return hashlib.sha256(salt + secret.encode()).digest()

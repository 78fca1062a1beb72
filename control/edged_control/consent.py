"""What an engineer signs: for one line, used once and before it expires. What for, its kinds say."""

from __future__ import annotations

from typing import Annotated, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edged.errors import EdgedError
from edged.signature import BadSignature, PublicKey, sign, verify
from edged.types import NANOSECONDS_PER_SECOND

SKEW_SECONDS = 300.0
"""A consent may be dated so far ahead of the box's clock."""
LIFE_SECONDS = 7 * 86_400.0
"""No consent is good for longer."""
SPENT_CONSENTS = 500
"""Used consents that are known one by one; of what is older, only later ones than the last of them are taken."""


class Consent(BaseModel):
    """Base of what is signed. Times are ns UTC. `identity` is unique; by it a replay is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    line: str
    issued: int
    expires: int


class NotApproved(EdgedError):
    """The consent does not serve here: nothing is changed, and it is not used up."""


C = TypeVar("C", bound=Consent)


def signed_consent(consent: Consent, purpose: str, key: Ed25519PrivateKey) -> str:
    """The text to hand over; it serves this purpose alone."""
    return sign(consent.model_dump_json(exclude_none=True).encode(), purpose, key)


def read_consent(kind: type[C], purpose: str, text: str, keys: tuple[PublicKey, ...], now: int) -> tuple[C, str]:
    """A consent and who signed it, as far as that can be told from itself. Raises NotApproved."""
    try:
        payload, signer = verify(text, purpose, keys)
        consent = kind.model_validate_json(payload)
    except BadSignature as fault:
        raise NotApproved(str(fault)) from fault
    except ValidationError as fault:
        raise NotApproved(f"it is signed, but no {kind.__name__.lower()}: {fault.error_count()} faults") from fault
    if not now < consent.expires:
        raise NotApproved(f"it expired {(now - consent.expires) / NANOSECONDS_PER_SECOND:.0f} s ago")
    if consent.issued > now + SKEW_SECONDS * NANOSECONDS_PER_SECOND:
        raise NotApproved("it is dated in the future: compare the clocks")
    if consent.expires - consent.issued > LIFE_SECONDS * NANOSECONDS_PER_SECOND:
        raise NotApproved(f"it is made for more than {LIFE_SECONDS / 86_400.0:g} days")
    return consent, signer


class _Spent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: str
    issued: int


class SpentList(BaseModel):
    """The used consents of a file. Those issued at `spent_until` (ns UTC) or before are taken for used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spent: tuple[_Spent, ...] = ()
    spent_until: int = 0

    def is_spent(self, identity: str, issued: int) -> bool:
        """Whether a consent was used, or may have been."""
        return issued <= self.spent_until or any(spent.identity == identity for spent in self.spent)

    def spending(self, identity: str, issued: int) -> dict[str, object]:
        """What changes in the file when a consent is used."""
        spent = (*self.spent, _Spent(identity=identity, issued=issued))
        forgotten, spent = spent[:-SPENT_CONSENTS], spent[-SPENT_CONSENTS:]
        return {"spent": spent, "spent_until": max((self.spent_until, *(one.issued for one in forgotten)))}

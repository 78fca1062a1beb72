"""What comes with a push: a list of limits as it is, or one that an engineer has signed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field, ValidationError

from edged.faults import got
from edged.settings import LimitSettings, LimitsList
from edged.signature import PublicKey
from edged_control.consent import Consent, NotApproved, read_consent, signed_consent
from edged_control.limits.live import LimitsPush

PURPOSE = "edged-limits-1"


class Widening(Consent):
    """One signed consent: these limits of this line may be in force, also where they are wider."""

    limits: Annotated[tuple[LimitSettings, ...], Field(min_length=1)]


def signed_limits(widening: Widening, key: Ed25519PrivateKey) -> str:
    """The text to hand over."""
    return signed_consent(widening, PURPOSE, key)


def unsigned_limits(limits: tuple[LimitSettings, ...]) -> str:
    """The text to hand over where nothing gets wider."""
    return LimitsList(limits=limits).model_dump_json(exclude_none=True)


def read_push(text: str, identity: str, line: str, keys: Callable[[], tuple[PublicKey, ...]], now: int) -> LimitsPush:
    """A push of somebody who is known. Raises NotApproved for what is none, NoKey where no signature can be checked."""
    if not text.lstrip().startswith("{"):
        widening, signer = read_consent(Widening, PURPOSE, text, keys(), now)
        return LimitsPush(tuple(limit.of(line) for limit in widening.limits), identity, widening, signer)
    try:
        listed = LimitsList.model_validate_json(text)
    except ValidationError as fault:
        raise NotApproved("\n".join(_told(fault))) from fault
    if not listed.limits:
        raise NotApproved("limits: expected a list of limits, got an empty one")
    return LimitsPush(tuple(limit.of(line) for limit in listed.limits), identity)


def _told(fault: ValidationError) -> list[str]:
    return [f"{'.'.join(map(str, one['loc']))}: {one['msg']}, {got(one['input'])}" for one in fault.errors()]

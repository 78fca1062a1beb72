"""Approvals: what an engineer signs so that an output may move beyond the threshold from where it was approved."""

from __future__ import annotations

from typing import Annotated

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edged.errors import EdgedError
from edged.settings import Finite
from edged.signature import BadSignature, PublicKey, sign, verify
from edged.types import NANOSECONDS_PER_SECOND

PURPOSE = "edged-approval-1"
SKEW_SECONDS = 300.0
"""An approval may be dated so far ahead of the box's clock."""
LIFE_SECONDS = 7 * 86_400.0
"""No approval is good for longer."""


class Approval(BaseModel):
    """One signed consent: this signal of this line to `value`, `span` to either side, used once and before `expires`.

    Times are ns UTC. `identity` is unique; by it a replay is known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    line: str
    signal: str
    unit: str
    value: Finite
    span: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    issued: int
    expires: int


class NotApproved(EdgedError):
    """The approval does not serve here: nothing is changed, and it is not used up."""


def signed(approval: Approval, key: Ed25519PrivateKey) -> str:
    """The text to hand over."""
    return sign(approval.model_dump_json().encode(), PURPOSE, key)


def read_approval(text: str, keys: tuple[PublicKey, ...], now: int) -> tuple[Approval, str]:
    """An approval and who signed it, as far as that can be told without the loop. Raises NotApproved."""
    try:
        payload, signer = verify(text, PURPOSE, keys)
        approval = Approval.model_validate_json(payload)
    except BadSignature as fault:
        raise NotApproved(str(fault)) from fault
    except ValidationError as fault:
        raise NotApproved(f"it is signed, but no approval: {fault.error_count()} faults") from fault
    if not now < approval.expires:
        raise NotApproved(f"it expired {(now - approval.expires) / NANOSECONDS_PER_SECOND:.0f} s ago")
    if approval.issued > now + SKEW_SECONDS * NANOSECONDS_PER_SECOND:
        raise NotApproved("it is dated in the future: compare the clocks")
    if approval.expires - approval.issued > LIFE_SECONDS * NANOSECONDS_PER_SECOND:
        raise NotApproved(f"it is made for more than {LIFE_SECONDS / 86_400.0:g} days")
    return approval, signer

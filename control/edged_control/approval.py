"""Approvals: what an engineer signs so that an output may move beyond the threshold from where it was approved."""

from __future__ import annotations

from typing import Annotated

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field

from edged.settings import Finite
from edged.signature import PublicKey
from edged_control.consent import Consent, NotApproved, read_consent, signed_consent

__all__ = ["Approval", "NotApproved", "read_approval", "signed"]

PURPOSE = "edged-approval-1"


class Approval(Consent):
    """One signed consent: this signal of this line to `value`, `span` to either side."""

    signal: str
    unit: str
    value: Finite
    span: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


def signed(approval: Approval, key: Ed25519PrivateKey) -> str:
    """The text to hand over."""
    return signed_consent(approval, PURPOSE, key)


def read_approval(text: str, keys: tuple[PublicKey, ...], now: int) -> tuple[Approval, str]:
    """An approval and who signed it, as far as that can be told without the loop. Raises NotApproved."""
    return read_consent(Approval, PURPOSE, text, keys, now)

"""Which wish counts: a higher priority narrows the bounds, a lower one chooses inside them, expired ones die."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from edged.types import Proposal


def arbitrate(proposals: Sequence[Proposal], now: float) -> Proposal | None:
    """The wish of the lowest priority, held inside every higher one's bounds; None when no proposal is alive.

    `now` is monotonic. Bounds that contradict a higher priority's do not count. A value that is not finite is passed
    on as it is, for the gate to refuse: clamping it would turn it into a bound.
    """
    alive = sorted((proposal for proposal in proposals if now < proposal.expires), key=_most_important_first)
    if not alive:
        return None
    low, high = -math.inf, math.inf
    for proposal in alive:
        narrowed = (max(low, _bound(proposal.low, -math.inf)), min(high, _bound(proposal.high, math.inf)))
        if narrowed[0] <= narrowed[1]:
            low, high = narrowed
    chosen = alive[-1]
    if not math.isfinite(chosen.value):
        return chosen
    return replace(chosen, value=min(max(chosen.value, low), high))


def _most_important_first(proposal: Proposal) -> int:
    return -proposal.priority


def _bound(bound: float | None, absent: float) -> float:
    return absent if bound is None or math.isnan(bound) else bound

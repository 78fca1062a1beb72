"""How much backlog a POST may carry: so much that new values do not wait long behind it."""

from __future__ import annotations

import math

FIRST_BATCHES = 100
POST_SHARE = 0.4
"""Of the period of the process values: so much longer may a POST take for the backlog in it."""
GROWTH = 2
"""At most, from one POST to the next."""


class BacklogPace:
    """Learns from the time that the hub takes, with backlog and without. `batches` is what the next POST may carry."""

    def __init__(self, most: int, period_seconds: float) -> None:
        self._most = most
        self._share_seconds = POST_SHARE * period_seconds
        self._bare_seconds = 0.0
        self.batches = min(FIRST_BATCHES, most)

    def posted(self, batches: int, seconds: float) -> None:
        """A POST with so many batches of backlog was answered after so long."""
        beyond = seconds - self._bare_seconds
        if batches == 0:
            self._bare_seconds = seconds
        elif beyond > self._share_seconds:
            self.batches = max(1, int(batches * self._share_seconds / beyond))
        elif batches >= self.batches:
            fits = GROWTH if beyond * GROWTH <= self._share_seconds else self._share_seconds / beyond
            self.batches = min(self._most, math.ceil(batches * fits))

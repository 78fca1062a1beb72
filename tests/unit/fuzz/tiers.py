"""One property, two tests: a short search with every run, and a long one by `pytest -m long`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

SHORT_EXAMPLES = 150
LONG_EXAMPLES = 20_000
LONG_SECONDS = 1800
QUIET = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large)
"""Fixtures are folders here, in which every example begins anew; examples are as large as real messages."""

Check: TypeAlias = Callable[..., Any]


def tiers(
    check: Check, *, short: int = SHORT_EXAMPLES, long: int = LONG_EXAMPLES, **strategies: SearchStrategy[Any]
) -> tuple[Check, Check]:
    """The short and the long test of a property; its other arguments are fixtures."""
    searched = [
        settings(max_examples=examples, deadline=None, suppress_health_check=QUIET)(given(**strategies)(check))
        for examples in (short, long)
    ]
    return searched[0], pytest.mark.long(pytest.mark.timeout(LONG_SECONDS)(searched[1]))


@st.composite
def bent(draw: st.DrawFn, originals: Sequence[bytes]) -> bytes:
    """One of the originals after a few accidents: bytes changed, cut out, repeated, moved in from another."""
    content = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        until = min(len(content), at + draw(st.integers(0, 8)))
        accident = draw(st.sampled_from(("change", "cut", "repeat", "move", "end")))
        if accident == "change":
            content[at:until] = draw(st.binary(min_size=until - at, max_size=until - at))
        elif accident == "cut":
            del content[at:until]
        elif accident == "repeat":
            content[at:at] = content[at:until] * draw(st.integers(1, 5))
        elif accident == "move":
            other = draw(st.sampled_from(originals))
            begin = draw(st.integers(0, len(other)))
            content[at:at] = other[begin : begin + draw(st.integers(0, 40))]
        else:
            del content[at:]
    return bytes(content)

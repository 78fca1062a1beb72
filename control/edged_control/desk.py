"""The operators' desk: orders of known people, carried out by the loops and recorded, whatever came of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from edged.clock import Clock
from edged.ports import Action, Answer, Order, Outcome, Role
from edged.types import Proposal, Refused, Value, Verdict
from edged_control.audit import Audit
from edged_control.gate import Mode, number
from edged_control.loop import Loop
from edged_control.proposer import PERSON_PRIORITY

OPERATOR = "operator"
"""The source of an operator's proposals."""
WISH_LIFE_SECONDS = 3600.0
"""So long an operator's wish may wait for an approval or be on its way."""
HOLDING = frozenset({Mode.MANUAL, Mode.OUT_OF_SERVICE})
"""Modes in which edged moves nothing by itself: asked for, they are entered even where that can't be recorded now."""


class Desk:
    """One for all loops of a line."""

    def __init__(
        self,
        loops: Mapping[str, Loop],
        submit: Callable[[Proposal], Awaitable[Verdict]],
        recordable: Callable[[], bool],
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._loops = loops
        self._submit = submit
        self._recordable = recordable
        self._audit = audit
        self._clock = clock

    async def act(self, order: Order) -> Answer:
        """Carries an order out, or says why not; either is recorded."""
        loop = self._loops.get(order.target)
        if loop is None:
            answer = _refused(f"there is no loop {order.target!r}: {', '.join(self._loops) or 'this line has none'}")
        elif not (self._recordable() or _mode(order.value) in HOLDING):
            answer = _refused("what can't be recorded is not done, and the outbox can't be written now")
        else:
            answer = await self._carry_out(order, loop)
        reason = ": ".join(filter(None, (order.reason, answer.reason)))
        value = _written(order, loop)
        await self._audit.note(order.identity, order.action, order.target, value, reason, answer.outcome)
        return answer

    async def deny(self, action: str, identity: str, reason: str) -> None:
        """Records a call of somebody who may not ask."""
        await self._audit.deny(identity, action, reason)

    async def _carry_out(self, order: Order, loop: Loop) -> Answer:
        match order.action:
            case Action.MODE:
                return self._change_mode(order, loop)
            case Action.SET_POINT:
                return _answer(loop.request_set_point(order.value, order.identity))
            case Action.OUTPUT:
                return await self._move(order, loop)
            case Action.OVERRIDE:
                return _answer(loop.release(order.identity))
        return _refused(f"{order.action} is not served here")

    def _change_mode(self, order: Order, loop: Loop) -> Answer:
        mode = _mode(order.value)
        if mode is None:
            return _refused(f"mode: expected AUTO, MAN or OOS, got {order.value!r}")
        is_parking = Mode.OUT_OF_SERVICE in (mode, loop.target)
        if is_parking and order.role is not Role.ENGINEER:
            return Answer(Outcome.DENIED, "only an engineer takes a loop out of service or back")
        return _answer(loop.request_mode(mode, order.identity))

    async def _move(self, order: Order, loop: Loop) -> Answer:
        value = number(order.value)
        if value is None:
            return _refused(f"finite: the output must be a finite number, got {order.value!r}")
        expires = self._clock.monotonic() + WISH_LIFE_SECONDS
        wish = Proposal(OPERATOR, loop.output, value, PERSON_PRIORITY, expires, identity=order.identity)
        verdict = await self._submit(wish)
        return _refused(verdict.reason) if isinstance(verdict, Refused) else Answer(Outcome.ACCEPTED)


def _answer(refused: Refused | None) -> Answer:
    return Answer(Outcome.ACCEPTED) if refused is None else _refused(refused.reason)


def _refused(reason: str) -> Answer:
    return Answer(Outcome.REFUSED, reason)


def _mode(value: Value | None) -> Mode | None:
    asked = str(value).upper()
    return next((mode for mode in (Mode.AUTOMATIC, Mode.MANUAL, Mode.OUT_OF_SERVICE) if mode == asked), None)


def _written(order: Order, loop: Loop | None) -> str:
    """The value as a person would write it down."""
    value = number(order.value)
    if value is None:
        return "" if order.value is None else str(order.value)
    unit = loop.unit(order.action) if loop is not None else ""
    return f"{value:g} {unit}".strip()

"""The operators' desk: orders of known people, carried out by the loops and recorded, whatever came of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from edged.clock import Clock
from edged.ports import Action, Answer, Order, Outcome, Role
from edged.signature import NoKey, PublicKey, public_keys
from edged.types import Proposal, Refused, Value, Verdict, Waits
from edged_control.approval import Approval, NotApproved, read_approval
from edged_control.audit import Audit
from edged_control.flight.boundary import Deed, Flight
from edged_control.gate import Mode, number
from edged_control.limits.live import LimitsPush, told_limits
from edged_control.limits.push import read_push
from edged_control.loop.loop import Loop
from edged_control.loop.proposer import PERSON_PRIORITY
from edged_control.rollback import RollbackGuard

OPERATOR = "operator"
"""The source of an operator's proposals."""
WISH_LIFE_SECONDS = 3600.0
"""So long an operator's wish may wait for an approval."""
HOLDING = frozenset({Mode.MANUAL, Mode.OUT_OF_SERVICE})
"""Modes in which edged moves nothing by itself: asked for, they are entered even where that can't be recorded now."""


class _Done(NamedTuple):
    """What became of an order, and its value as a person would write it down."""

    answer: Answer
    value: str


class Desk:
    """One for all loops of a line. Approvals are believed if one of the engineering keys has signed them."""

    def __init__(
        self,
        loops: Mapping[str, Loop],
        *,
        line: str,
        submit: Callable[[Proposal], Awaitable[Verdict]],
        apply_limits: Callable[[LimitsPush], Awaitable[Refused | str]],
        recordable: Callable[[], bool],
        audit: Audit,
        clock: Clock,
        engineering_keys: Path | None,
        flight: Flight,
        guard: RollbackGuard | None = None,
    ) -> None:
        self._loops = loops
        self._line = line
        self._submit = submit
        self._apply_limits = apply_limits
        self._recordable = recordable
        self._audit = audit
        self._clock = clock
        self._engineering_keys = engineering_keys
        self._flight = flight
        self._read = flight.asked("approval", self._read_approval)
        self._pushed = flight.asked("push", self._read_push)
        self._guard = guard

    async def act(self, order: Order, told: str = "") -> Answer:
        """Carries an order out, or says why not; either is recorded, but for what was `told` as the last refusal."""
        with self._flight.deed(Deed.ORDER, order.target, order) as ended:
            answer = await self._act(order, told)
            ended(answer)
        return answer

    async def deny(self, action: str, identity: str, reason: str) -> None:
        """Records a call of somebody who may not ask."""
        await self._audit.deny(identity, action, reason)

    async def _act(self, order: Order, told: str) -> Answer:
        loop = self._loops.get(order.target)
        if loop is None and order.action is not Action.LIMITS:
            known = ", ".join(self._loops) or "this line has none"
            done = _Done(_refused(f"there is no loop {order.target!r}: {known}"), _text(order.value, ""))
        elif not (self._recordable() or (order.action is Action.MODE and _mode(order.value) in HOLDING)):
            refused = _refused("what can't be recorded is not done, and the outbox can't be written now")
            done = _Done(refused, _text(order.value, ""))
        else:
            done = await self._push(order) if loop is None else await self._carry_out(order, loop)
        if told and done.answer == _refused(told):
            return done.answer
        reason = ": ".join(filter(None, (order.reason, done.answer.reason)))
        await self._audit.note(order.identity, order.action, order.target, done.value, reason, done.answer.outcome)
        return done.answer

    async def _carry_out(self, order: Order, loop: Loop) -> _Done:
        match order.action:
            case Action.MODE:
                return _Done(_change_mode(order, loop), _text(order.value, ""))
            case Action.SET_POINT:
                return _Done(self._change_set_point(order, loop), _text(order.value, loop.process_unit))
            case Action.OUTPUT:
                return _Done(await self._move(order, loop), _text(order.value, loop.unit))
            case Action.OVERRIDE:
                return _Done(_answer(loop.people.release(order.identity)), "")
            case Action.APPROVE:
                return self._approve(order, loop)
            case Action.ROLL_BACK:
                return self._roll_back(order, loop)
            case Action.LIMITS:
                return await self._push(order)

    def _change_set_point(self, order: Order, loop: Loop) -> Answer:
        before = loop.status().set_point
        refused = loop.request_set_point(order.value, order.identity)
        if refused is None and self._guard is not None and loop.status().set_point != before:
            now, wall = self._clock.monotonic(), self._clock.now()
            try:
                self._guard.note_change(loop.name, before, order.identity, now, wall)
            except OSError as fault:
                return Answer(Outcome.ACCEPTED, f"it can't be rolled back by itself: {fault}")
        return _answer(refused)

    def _roll_back(self, order: Order, loop: Loop) -> _Done:
        """Back to the set-point before the last change; also what the guard asks for by itself."""
        previous = self._guard.previous(loop.name) if self._guard else None
        if self._guard is None or previous is None:
            return _Done(_refused("rollback: no change of this loop is being watched"), "")
        refused = loop.request_set_point(previous.set_point, order.identity)
        if refused is None:
            with suppress(OSError):
                self._guard.forget(loop.name)
        return _Done(_answer(refused), _text(previous.set_point, loop.process_unit))

    async def _move(self, order: Order, loop: Loop) -> Answer:
        value = number(order.value)
        if value is None:
            return _refused(f"finite: the output must be a finite number, got {order.value!r}")
        expires = self._clock.monotonic() + WISH_LIFE_SECONDS
        verdict = await self._submit(
            Proposal(OPERATOR, loop.output, value, PERSON_PRIORITY, expires, identity=order.identity)
        )
        if isinstance(verdict, Waits):
            return Answer(Outcome.WAITS, verdict.reason)
        return _refused(verdict.reason) if isinstance(verdict, Refused) else Answer(Outcome.ACCEPTED)

    def _approve(self, order: Order, loop: Loop) -> _Done:
        try:
            approval, signer = self._read(str(order.value), self._clock.now())
        except (NotApproved, NoKey) as fault:
            return _Done(_refused(f"approval: {fault}"), "")
        told = f"{approval.value:g} +/- {approval.span:g} {approval.unit}"
        return _Done(
            _answer(loop.people.grant(approval, signer)), f"{told}, approval {approval.identity}, signed by {signer}"
        )

    async def _push(self, order: Order) -> _Done:
        """Limits of the line; the record tells what they were before."""
        if order.target != self._line:
            return _Done(_refused(f"limits: this is {self._line}, got {order.target!r}"), "")
        if not order.reason.strip():
            return _Done(_refused("limits: tell why, by --reason"), "")
        try:
            push = self._pushed(str(order.value), order.identity, self._clock.now())
        except (NotApproved, NoKey) as fault:
            return _Done(_refused(str(fault)), "")
        done = await self._apply_limits(push)
        if isinstance(done, Refused):
            return _Done(_refused(done.reason), "; ".join(map(told_limits, push.limits)))
        consent = push.consent
        signed = "" if consent is None else f"; consent {consent.identity}, signed by {push.signer}"
        return _Done(Answer(Outcome.ACCEPTED), f"{done}{signed}")

    def _read_approval(self, text: str, now: int) -> tuple[Approval, str]:
        """What was signed, and by whom. Raises NotApproved or NoKey."""
        return read_approval(text, self._keys(), now)

    def _read_push(self, text: str, identity: str, now: int) -> LimitsPush:
        """What was pushed, and who signed it. Raises NotApproved or NoKey."""
        return read_push(text, identity, self._line, self._keys, now)

    def _keys(self) -> tuple[PublicKey, ...]:
        if self._engineering_keys is None:
            raise NoKey("control.engineering_keys is not configured, so no approval can be believed")
        return public_keys(self._engineering_keys)


def _change_mode(order: Order, loop: Loop) -> Answer:
    mode = _mode(order.value)
    if mode is None:
        return _refused(f"mode: expected AUTO, MAN or OOS, got {order.value!r}")
    if Mode.OUT_OF_SERVICE in (mode, loop.target) and order.role is not Role.ENGINEER:
        return Answer(Outcome.DENIED, "only an engineer takes a loop out of service or back")
    answer = _answer(loop.people.request_mode(mode, order.identity))
    if answer.outcome is Outcome.ACCEPTED and mode is Mode.AUTOMATIC and order.role is Role.ENGINEER:
        loop.trust_controllers()
    return answer


def _answer(refused: Refused | None) -> Answer:
    return Answer(Outcome.ACCEPTED) if refused is None else _refused(refused.reason)


def _refused(reason: str) -> Answer:
    return Answer(Outcome.REFUSED, reason)


def _mode(value: Value | None) -> Mode | None:
    asked = str(value).upper()
    return next((mode for mode in (Mode.AUTOMATIC, Mode.MANUAL, Mode.OUT_OF_SERVICE) if mode == asked), None)


def _text(value: Value | None, unit: str) -> str:
    amount = number(value)
    if amount is None:
        return "" if value is None else str(value)
    return f"{amount:g} {unit}".strip()

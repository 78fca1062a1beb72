"""POST /control/ACTION, GET /control/status: for operators, from this machine only and with a token of their own."""

from __future__ import annotations

from collections.abc import Callable
from json import JSONDecodeError
from typing import Any, TypeAlias

import orjson
from aiohttp import web

from edged.json_page import as_json
from edged.operators import NoOperators, Operator, Operators
from edged.outside import loopback
from edged.ports import Action, Answer, OperatorDesk, Order, Outcome
from edged.types import Value

PREFIX = "/control/"
BEARER = "Bearer "
MAX_BODY_BYTES = 16 * 1024
MAX_REASON_CHARACTERS = 500
STATUS = {Outcome.ACCEPTED: 200, Outcome.WAITS: 202, Outcome.REFUSED: 409}

Json: TypeAlias = dict[str, Any]


class _Unusable(ValueError):
    """A body that is no order; the text says what it should be."""


class ControlPages:
    """Asks who it is, reads the order, and answers with what became of it: {"outcome": ..., "reason": ...}."""

    def __init__(self, operators: Operators, desk: OperatorDesk, status: Callable[[], object]) -> None:
        self._operators = operators
        self._desk = desk
        self._status = status

    def routes(self) -> tuple[web.RouteDef, ...]:
        """What the status server serves for us; these routes guard themselves."""
        return (web.post(PREFIX + "{action}", self.post), web.get(PREFIX + "status", self.show))

    async def show(self, request: web.Request) -> web.Response:
        """What /status shows, for operators where that page has a token of its own."""
        operator = await self._identify(request, "status")
        return operator if isinstance(operator, web.Response) else as_json(self._status())

    async def post(self, request: web.Request) -> web.Response:
        """One order."""
        name = request.match_info["action"]
        if name not in set(Action):
            return _answer(404, "unknown", f"there is no {PREFIX}{name}: {', '.join(Action)}")
        operator = await self._identify(request, name)
        if isinstance(operator, web.Response):
            return operator
        try:
            order = _order(Action(name), await _body(request), operator)
        except _Unusable as fault:
            return _answer(400, "unusable", str(fault))
        answer: Answer = await self._desk.act(order)
        return _answer(STATUS.get(answer.outcome, 403), answer.outcome, answer.reason)

    async def _identify(self, request: web.Request, action: str) -> Operator | web.Response:
        """Who asks, or the answer that nobody who may."""
        if not loopback(request.remote or ""):
            return await self._deny(403, action, "", f"{PREFIX} is for this machine only, asked from {request.remote}")
        given = request.headers.get("Authorization", "")
        try:
            operator = self._operators.check(given.removeprefix(BEARER).strip())
        except NoOperators as fault:
            return _answer(403, Outcome.DENIED, f"{fault}: edged control add-operator NAME --role operator")
        if not given.startswith(BEARER):
            return _answer(401, Outcome.DENIED, "an operator's token is required: Authorization: Bearer ...")
        if operator is None:
            claimed = given.removeprefix(BEARER).strip().partition(".")[0][:64]
            return await self._deny(401, action, claimed, "this token is not known here")
        return operator

    async def _deny(self, status: int, action: str, identity: str, reason: str) -> web.Response:
        await self._desk.deny(action, identity, reason)
        return _answer(status, Outcome.DENIED, reason)


async def _body(request: web.Request) -> Json:
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise _Unusable(f"at most {MAX_BODY_BYTES} bytes, got {request.content_length}")
    try:
        body = orjson.loads(await request.read())
    except (JSONDecodeError, ValueError) as fault:
        raise _Unusable(f"not JSON: {fault}") from fault
    if not isinstance(body, dict):
        raise _Unusable('expected {"target": ..., "value": ..., "reason": ...}')
    unknown = body.keys() - {"target", "value", "reason"}
    if unknown:
        raise _Unusable(f"unknown: {', '.join(sorted(unknown))}")
    return body


def _order(action: Action, body: Json, operator: Operator) -> Order:
    target, reason, value = body.get("target", ""), body.get("reason", ""), body.get("value")
    if not isinstance(target, str) or not isinstance(reason, str):
        raise _Unusable("target and reason must be texts")
    if not isinstance(value, Value | None):
        raise _Unusable(f"value must be a number or a text, got {type(value).__name__}")
    return Order(action, target, value, reason[:MAX_REASON_CHARACTERS], operator.name, operator.role)


def _answer(status: int, outcome: str, reason: str) -> web.Response:
    body = orjson.dumps({"outcome": outcome, "reason": reason})
    return web.Response(status=status, body=body, content_type="application/json")

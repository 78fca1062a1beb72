"""Bearer secrets on requests, and every fault as one JSON sentence with the right status."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web
from aiohttp.typedefs import Middleware

from edged.log import get_logger
from edged_cloud_sync.wire import WireError
from edged_hub.command_api import UnknownNode
from edged_hub.commands import TooManyWaiting
from edged_hub.identities import Caller, Identities
from edged_hub.store import IdentityKind, Role, StoreBusy, StoreUnavailable

BUSY_RETRY_SECONDS = 1
UNAVAILABLE_RETRY_SECONDS = 5
BEARER = "Bearer "

CALLER = web.RequestKey("caller", Caller)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = get_logger("hub.access")


def fault(status: int, sentence: str, headers: dict[str, str] | None = None) -> web.Response:
    """An answer that says what was wrong."""
    return web.Response(
        status=status, body=orjson.dumps({"error": sentence}), content_type="application/json", headers=headers
    )


def faults_as_json() -> Middleware:
    """Turns our own faults and aiohttp's into JSON answers."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except WireError as error:
            return fault(400, str(error))
        except UnknownNode as error:
            return fault(404, str(error))
        except (StoreBusy, TooManyWaiting) as error:
            return fault(429, str(error), {"Retry-After": str(BUSY_RETRY_SECONDS)})
        except StoreUnavailable as error:
            log.warning("store_unavailable", fault=str(error))
            return fault(503, str(error), {"Retry-After": str(UNAVAILABLE_RETRY_SECONDS)})
        except web.HTTPException as error:
            if error.status < 400:
                raise
            return fault(error.status, error.text or error.reason, _kept_headers(error))

    return answer


def guard(
    identities: Identities, kind: IdentityKind, handler: Handler, roles: frozenset[Role] | None = None
) -> Handler:
    """Lets only callers of that kind, and of those roles, through; the handler finds them under CALLER."""

    async def check(request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if not given.startswith(BEARER):
            return _unauthorized("a bearer secret is required: Authorization: Bearer ...")
        caller = await identities.check(given.removeprefix(BEARER).strip())
        if caller is None:
            log.warning("access_refused", path=request.path, remote=request.remote)
            return _unauthorized("this secret is not known here; it may have been replaced")
        if caller.kind is not kind:
            return fault(403, f"{request.path} is for the secret of {_article(kind)}, this is that of {caller.name}")
        if roles is not None and caller.role not in roles:
            allowed = " or ".join(sorted(roles))
            return fault(403, f"{request.method} {request.path} is for an {allowed}, {caller.name} is a {caller.role}")
        request[CALLER] = caller
        return await handler(request)

    return check


def _unauthorized(sentence: str) -> web.Response:
    return fault(401, sentence, {"WWW-Authenticate": "Bearer"})


def _article(kind: IdentityKind) -> str:
    return "an edge" if kind is IdentityKind.EDGE else "a user"


def _kept_headers(error: web.HTTPException) -> dict[str, str]:
    return {name: error.headers[name] for name in ("Allow", "Retry-After", "WWW-Authenticate") if name in error.headers}

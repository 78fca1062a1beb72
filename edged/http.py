"""The daemon's own pages: /metrics, /healthz, /readyz and /status. Loopback only, unless a token guards them.

Further routes may be given to it; those ask for an identity themselves and need no token of the pages.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from edged.errors import EdgedError
from edged.json_page import as_json
from edged.log import get_logger
from edged.settings import HttpSettings

METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPEN_PATHS = ("/healthz", "/readyz")
SHUTDOWN_SECONDS = 2.0

log = get_logger("http")


class PortTaken(EdgedError):
    """The port for the status pages is in use: stop the other process or set http.port. Everything else works."""


class StatusServer:
    """Serves what it is given: functions that render metrics, tell health and readiness, and take the status."""

    def __init__(
        self,
        settings: HttpSettings,
        *,
        metrics: Callable[[], bytes],
        healthy: Callable[[], bool],
        ready: Callable[[], bool],
        status: Callable[[], object],
        own_guard: Sequence[web.RouteDef] = (),
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._healthy = healthy
        self._ready = ready
        self._status = status
        self._own_guard = own_guard
        self._runner: web.AppRunner | None = None
        self.port = settings.port
        self.fault = ""
        """Why nobody can look at the pages; empty while they are served."""

    async def run(self) -> None:
        """Serves the pages until cancelled. Raises PortTaken; whoever supervises tries again."""
        await self._open()
        try:
            await asyncio.Event().wait()
        finally:
            await self._close()

    async def _open(self) -> None:
        app = web.Application(middlewares=[self._guard()])
        app.router.add_get("/metrics", self._get_metrics)
        app.router.add_get("/healthz", self._get_health)
        app.router.add_get("/readyz", self._get_ready)
        app.router.add_get("/status", self._get_status)
        app.router.add_routes(self._own_guard)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._settings.host, self._settings.port)
        try:
            await site.start()
        except OSError as fault:
            await self._close()
            reason = os.strerror(fault.errno) if fault.errno else str(fault)
            self.fault = f"http.port {self._settings.port} on {self._settings.host}: {reason}"
            raise PortTaken(self.fault) from fault
        self.port = self._runner.addresses[0][1]
        self.fault = ""
        log.info("status_pages", url=f"http://{self._settings.host}:{self.port}/status")

    async def _close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _guard(self) -> Callable[..., Awaitable[web.StreamResponse]]:
        token = self._settings.token.read() if self._settings.token else None
        handlers = {route.handler for route in self._own_guard}

        @web.middleware
        async def check(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            given = request.headers.get("Authorization", "").encode()
            is_open = request.path in OPEN_PATHS or request.match_info.handler in handlers
            if token and not is_open and not hmac.compare_digest(given, f"Bearer {token}".encode()):
                raise web.HTTPUnauthorized(text="a bearer token is required\n")
            return await handler(request)

        return check

    async def _get_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics(), headers={"Content-Type": METRICS_CONTENT_TYPE})

    async def _get_health(self, _: web.Request) -> web.Response:
        return _verdict(self._healthy(), "healthy", "an essential service is down, see /status")

    async def _get_ready(self, _: web.Request) -> web.Response:
        return _verdict(self._ready(), "ready", "not ready yet, see /status")

    async def _get_status(self, _: web.Request) -> web.Response:
        return as_json(self._status())


def _verdict(good: bool, yes: str, no: str) -> web.Response:
    return web.Response(status=200 if good else 503, text=(yes if good else no) + "\n")

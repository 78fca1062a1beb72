"""The hub's HTTP server: ingest for edges, the API for users, pages for probes and Prometheus."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web
from pydantic import ValidationError

from edged.clock import Clock
from edged.http import METRICS_CONTENT_TYPE, PortTaken
from edged.log import get_logger
from edged.metrics import Metrics
from edged_cloud_sync.wire import INGEST_PATH, MAX_BODY_BYTES
from edged_hub.access import CALLER, fault, faults_as_json, guard
from edged_hub.api import PostRoute, ReadApi, Route
from edged_hub.command_api import CommandApi
from edged_hub.commands import Commands
from edged_hub.identities import Identities
from edged_hub.ingest import Ingest
from edged_hub.openapi import document
from edged_hub.settings import HubServerSettings
from edged_hub.store import IdentityKind, Store, StoreUnavailable

SHUTDOWN_SECONDS = 10.0
"""Requests under way get this long to be answered on the way out."""
KEEP_ALIVE_SECONDS = 75.0
LINGER_SECONDS = 2.0
"""How long the rest of a body that was refused early is read and thrown away, so that the sender gets the answer."""

log = get_logger("hub.server")


class HubServer:
    """Serves one store."""

    def __init__(self, settings: HubServerSettings, store: Store, clock: Clock, metrics: Metrics) -> None:
        self._settings = settings
        self._store = store
        self._metrics = metrics
        self._identities = Identities(store, clock)
        commands = Commands(clock, metrics)
        self._ingest = Ingest(store, commands, clock, metrics)
        self._api = ReadApi(store, clock)
        self._command_api = CommandApi(store, commands)
        self._samples = metrics.gauge("edged_hub_samples", "Samples held")
        self._events = metrics.gauge("edged_hub_events", "Events held")
        self._runner: web.AppRunner | None = None
        self.port = settings.port

    async def open(self) -> None:
        """Starts to listen. Raises PortTaken."""
        self._runner = web.AppRunner(
            self._application(),
            access_log=None,
            shutdown_timeout=SHUTDOWN_SECONDS,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            lingering_time=LINGER_SECONDS,
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._settings.host, self._settings.port, ssl_context=self._tls())
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise PortTaken(f"{self._settings.host}:{self._settings.port}: {error.strerror}") from error
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Stops listening and answers what is under way."""
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where it listens."""
        scheme = "https" if self._settings.certificate else "http"
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        return f"{scheme}://{host}:{self.port}"

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[faults_as_json()], client_max_size=MAX_BODY_BYTES)
        app.router.add_post(INGEST_PATH, guard(self._identities, IdentityKind.EDGE, self._ingest.handle))
        routes, posts = (*self._api.routes(), *self._command_api.routes()), self._command_api.posts()
        for route in routes:
            app.router.add_get(route.path, guard(self._identities, IdentityKind.USER, _handler(route)))
        for post in posts:
            app.router.add_post(
                post.path, guard(self._identities, IdentityKind.USER, _post_handler(post), roles=post.roles)
            )
        described = orjson.dumps(document(routes, posts))
        app.router.add_get("/api/v1/openapi.json", _fixed(described))
        app.router.add_get("/healthz", _fixed(b'{"healthy":true}'))
        app.router.add_get("/readyz", self._ready)
        metrics = (
            self._get_metrics if self._settings.local else guard(self._identities, IdentityKind.USER, self._get_metrics)
        )
        app.router.add_get("/metrics", metrics)
        return app

    async def _ready(self, _: web.Request) -> web.Response:
        try:
            await self._store.totals()
        except StoreUnavailable as error:
            return fault(503, str(error))
        return web.Response(body=b'{"ready":true}', content_type="application/json")

    async def _get_metrics(self, _: web.Request) -> web.Response:
        totals = await self._store.totals()
        self._samples.set(totals.samples)
        self._events.set(totals.events)
        return web.Response(body=self._metrics.render(), headers={"Content-Type": METRICS_CONTENT_TYPE})

    def _tls(self) -> ssl.SSLContext | None:
        if self._settings.certificate is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._settings.certificate, self._settings.key)
        return context


def _handler(route: Route[Any]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            query = route.query.model_validate(dict(request.query))
        except ValidationError as error:
            return fault(400, _sentence(error, "query"))
        answer = await route.handle(query)
        return web.Response(body=answer.model_dump_json().encode(), content_type="application/json")

    return handle


def _post_handler(route: PostRoute[Any]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            body = route.body.model_validate(orjson.loads(await request.read()))
        except orjson.JSONDecodeError as error:
            return fault(400, f"the body is not JSON: {error}")
        except ValidationError as error:
            return fault(400, _sentence(error, "body"))
        answer = await route.handle(body, request[CALLER])
        return web.Response(status=202, body=answer.model_dump_json().encode(), content_type="application/json")

    return handle


def _fixed(body: bytes) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    return handle


def _sentence(error: ValidationError, whole: str) -> str:
    """Every wrong field, by name."""
    return "; ".join(
        f"{'.'.join(map(str, part['loc'])) or whole}: {part['msg']}, got {part['input']!r}"[:200]
        for part in error.errors(include_url=False)
    )

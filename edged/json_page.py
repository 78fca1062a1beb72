"""Any of our values as a JSON page."""

from __future__ import annotations

import orjson
from aiohttp import web


def as_json(value: object) -> web.Response:
    """Dataclasses and named tuples become objects; what JSON has no form for is written out."""
    return web.Response(body=orjson.dumps(value, default=_plain), content_type="application/json")


def _plain(value: object) -> object:
    return value._asdict() if isinstance(value, tuple) and hasattr(value, "_asdict") else str(value)

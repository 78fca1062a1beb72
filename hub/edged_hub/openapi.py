"""The OpenAPI 3.1 document, made from the same models that the handlers take and give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from edged import __version__
from edged_cloud_sync.wire import CONTENT_TYPE, INGEST_PATH
from edged_hub.api import PostRoute, Route
from edged_hub.models import ErrorAnswer

REFERENCE = "#/components/schemas/{model}"


def document(routes: Sequence[Route[Any]], posts: Sequence[PostRoute[Any]]) -> dict[str, Any]:
    """The document as a JSON object."""
    given: list[type[BaseModel]] = [route.answer for route in routes]
    given += [*(route.answer for route in posts), ErrorAnswer]
    models: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = []
    models += [(model, "serialization") for model in given] + [(route.body, "validation") for route in posts]
    _, schemas = models_json_schema(models, ref_template=REFERENCE)
    paths: dict[str, Any] = {INGEST_PATH: {"post": _ingest()}} | {
        route.path: {"get": _operation(route)} for route in routes
    }
    for post in posts:
        paths.setdefault(post.path, {})["post"] = _post_operation(post)
    return {
        "openapi": "3.1.0",
        "info": {"title": "edged hub", "version": __version__, "description": "What the hub holds, and commands."},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "user": {"type": "http", "scheme": "bearer", "description": "`edged-hub user add` prints it once"},
                "edge": {"type": "http", "scheme": "bearer", "description": "`edged-hub enroll` makes it"},
            },
        },
    }


def _operation(route: Route[Any]) -> dict[str, Any]:
    return {
        "summary": route.summary,
        "operationId": route.path.rsplit("/", 1)[-1],
        "security": [{"user": []}],
        "parameters": _parameters(route),
        "responses": {
            "200": _content("What was asked for", route.answer.__name__),
            "400": _content("The parameters are wrong", ErrorAnswer.__name__),
            "401": _content("No secret, or an unknown one", ErrorAnswer.__name__),
            "403": _content("The secret of an edge", ErrorAnswer.__name__),
            "503": _content("The database is not available", ErrorAnswer.__name__),
        },
    }


def _post_operation(route: PostRoute[Any]) -> dict[str, Any]:
    return {
        "summary": route.summary,
        "operationId": f"post_{route.path.rsplit('/', 1)[-1]}",
        "security": [{"user": []}],
        "requestBody": {"required": True} | _content("What is asked", route.body.__name__),
        "responses": {
            "202": _content("It waits; nothing is done yet", route.answer.__name__),
            "400": _content("The body is wrong", ErrorAnswer.__name__),
            "401": _content("No secret, or an unknown one", ErrorAnswer.__name__),
            "403": _content(f"Only for an {' or '.join(sorted(route.roles))}", ErrorAnswer.__name__),
            "404": _content("What it is about is not known here", ErrorAnswer.__name__),
            "429": _content("Too much is waiting: see Retry-After", ErrorAnswer.__name__),
            "503": _content("The database is not available", ErrorAnswer.__name__),
        },
    }


def _parameters(route: Route[Any]) -> list[dict[str, Any]]:
    schema = route.query.model_json_schema(by_alias=True)
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": part}
        for name, part in schema.get("properties", {}).items()
    ]


def _ingest() -> dict[str, Any]:
    return {
        "summary": "Takes batches of an edge's outbox; answers after the commit",
        "operationId": "ingest",
        "security": [{"edge": []}],
        "requestBody": {
            "required": True,
            "content": {CONTENT_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        },
        "responses": {
            "200": {"description": "What is held now", "content": {"application/json": {"schema": {"type": "object"}}}},
            **{
                status: _content(meaning, ErrorAnswer.__name__)
                for status, meaning in (
                    ("400", "Not an envelope"),
                    ("401", "No secret, or an unknown one"),
                    ("403", "The secret of somebody else"),
                    ("413", "Too much at once"),
                    ("415", "Another content type"),
                    ("429", "Too much is arriving: see Retry-After"),
                    ("503", "The database is not available: see Retry-After"),
                )
            },
        },
    }


def _content(meaning: str, model: str) -> dict[str, Any]:
    schema = {"$ref": REFERENCE.format(model=model)}
    return {"description": meaning, "content": {"application/json": {"schema": schema}}}

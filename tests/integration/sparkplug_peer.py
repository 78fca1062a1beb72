"""The npm package sparkplug-payload as a second reader of our messages, and as another writer."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest

from bench import nodejs
from tests.integration.sparkplug_host import Heard


async def decoded_by_peer(messages: Sequence[Heard]) -> list[dict[str, Any]]:
    """What the package makes of each Sparkplug message; skips the test, by name, where it is not installed."""
    asked = [
        {"topic": message.topic, "payload": base64.b64encode(message.payload).decode()}
        for message in messages
        if message.kind
    ]
    return [answer["message"] for answer in await _ask("decode_sparkplug.cjs", asked)]


async def encoded_by_peer(messages: Sequence[tuple[str, dict[str, Any]]]) -> list[tuple[str, bytes]]:
    """Topics and payloads as the package writes them; skips the test, by name, where it is not installed."""
    asked = [{"topic": topic, "message": message} for topic, message in messages]
    return [
        (answer["topic"], base64.b64decode(answer["payload"])) for answer in await _ask("encode_sparkplug.cjs", asked)
    ]


async def _ask(script: str, lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    node, lacks = nodejs.program(), nodejs.missing("sparkplug-payload")
    if node is None or lacks:
        pytest.skip(f"{lacks} is not installed: deploy/system-packages")
    process = await asyncio.create_subprocess_exec(
        node,
        str(nodejs.PEERS / script),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate("".join(f"{json.dumps(line)}\n" for line in lines).encode())
    assert process.returncode == 0, err.decode()
    return [json.loads(line) for line in out.decode().splitlines()]

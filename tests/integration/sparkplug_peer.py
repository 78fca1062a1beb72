"""The npm package sparkplug-payload as a second reader of our messages."""

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
    node, lacks = nodejs.program(), nodejs.missing("sparkplug-payload")
    if node is None or lacks:
        pytest.skip(f"{lacks} is not installed: deploy/system-packages")
    lines = [
        json.dumps({"topic": message.topic, "payload": base64.b64encode(message.payload).decode()})
        for message in messages
        if message.kind
    ]
    process = await asyncio.create_subprocess_exec(
        node,
        str(nodejs.PEERS / "decode_sparkplug.cjs"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate("".join(f"{line}\n" for line in lines).encode())
    assert process.returncode == 0, err.decode()
    return [json.loads(line)["message"] for line in out.decode().splitlines()]

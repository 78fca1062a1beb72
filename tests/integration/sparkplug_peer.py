"""The npm package sparkplug-payload as a second reader of our messages."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import Sequence
from typing import Any

import pytest

from tests.conftest import PROJECT
from tests.integration.sparkplug_host import Heard

PEERS = PROJECT / "tests" / "peers"


async def decoded_by_peer(messages: Sequence[Heard]) -> list[dict[str, Any]]:
    """What the package makes of each Sparkplug message; skips the test, by name, where it is not installed."""
    node = shutil.which("node")
    if node is None or not (PEERS / "node_modules" / "sparkplug-payload").is_dir():
        pytest.skip("Node.js or sparkplug-payload is missing: npm ci --prefix tests/peers")
    lines = [
        json.dumps({"topic": message.topic, "payload": base64.b64encode(message.payload).decode()})
        for message in messages
        if message.kind
    ]
    process = await asyncio.create_subprocess_exec(
        node,
        str(PEERS / "decode_sparkplug.cjs"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate("".join(f"{line}\n" for line in lines).encode())
    assert process.returncode == 0, err.decode()
    return [json.loads(line)["message"] for line in out.decode().splitlines()]

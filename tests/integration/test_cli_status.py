"""`edged status` against the daemon's real pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from edged.cli import main
from edged.http import StatusServer
from edged.settings import HttpSettings, Secret
from edged.subcommand import FAILED
from edged.supervise import start_task

STATUS = {"line": "line_a", "sources": [{"name": "furnace", "online": True}]}


@pytest.fixture
async def pages(tmp_path: Path) -> AsyncIterator[StatusServer]:
    """The status pages on a free port, behind the token `open`."""
    (tmp_path / "token").write_text("open\n")
    settings = HttpSettings(port=0, token=Secret(file=tmp_path / "token"))
    server = StatusServer(
        settings, metrics=lambda: b"", healthy=lambda: True, ready=lambda: True, status=lambda: STATUS
    )
    serving = start_task("pages", server.run())
    while not server.port:
        await asyncio.sleep(0.01)
    yield server
    serving.cancel()
    await asyncio.wait({serving})


async def status(*arguments: str) -> int:
    return await asyncio.to_thread(main, ["status", *arguments])


async def test_status_is_shown(pages: StatusServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{pages.port}/"
    assert await status("--url", url, "--token-file", str(tmp_path / "token")) == 0
    assert capsys.readouterr().out == "line  line_a\n\nsources\n  name     online\n  furnace  yes\n"
    assert await status("--json", "--url", url, "--token-file", str(tmp_path / "token")) == 0
    assert '"line": "line_a"' in capsys.readouterr().out


async def test_token_is_asked_for(pages: StatusServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert await status("--url", f"http://127.0.0.1:{pages.port}") == FAILED
    assert capsys.readouterr().err.endswith("asks for its token: name it by --token-file\n")


async def test_other_servers_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    runner = web.AppRunner(web.Application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    assert await status("--url", f"http://127.0.0.1:{port}") == FAILED
    assert "is not an edged daemon's status page (HTTP 404)" in capsys.readouterr().err
    await runner.cleanup()

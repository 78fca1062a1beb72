"""Fixtures for every test: no task is left behind, and EDGED_DATA is found or its absence is said."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture
def project() -> Path:
    """The root of the checkout."""
    return PROJECT


@pytest.fixture
def recorded_data() -> Path:
    """The folder of recorded data. A test that needs it is skipped, by name, where it is not there."""
    folder = os.environ.get("EDGED_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("EDGED_DATA is not set to the folder of recorded data")
    return Path(folder)


@pytest.fixture(autouse=True)
def a_box_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Daemons of different tests never meet at the lease of a line."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path_factory.getbasetemp() / f"runtime-{os.getpid()}"))


@pytest.fixture(autouse=True)
async def no_leftover_tasks() -> AsyncIterator[None]:
    """Fails any test that leaves a task running."""
    before = asyncio.all_tasks()
    yield
    for _ in range(10):
        await asyncio.sleep(0)
    leftover = {task for task in asyncio.all_tasks() - before if not task.done()} - {asyncio.current_task()}
    names = sorted(task.get_name() for task in leftover if task)
    for task in leftover:
        if task:
            task.cancel()
    assert not names, f"tasks left behind: {names}"

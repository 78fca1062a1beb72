"""Logging never stops who logs."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
import structlog

from edged.log import configure, get_logger


class Full(io.StringIO):
    """A file on a disk without room, until there is some."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


@pytest.fixture
def defaults() -> Iterator[None]:
    """The logging of the other tests is as it was."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("defaults")
def test_a_log_on_a_full_disk_loses_lines_and_nothing_else() -> None:
    stream = Full()
    configure(stream=stream, as_json=True)
    log = get_logger("outbox")
    log.error("outbox_unwritable", reason="full")
    stream.full = False
    log.info("outbox_writable")
    assert "outbox_writable" in stream.getvalue()


@pytest.mark.usefixtures("defaults")
def test_a_closed_log_stops_nobody() -> None:
    stream = io.StringIO()
    configure(stream=stream, as_json=True)
    log = get_logger("outbox")
    log.info("outbox_open")
    stream.close()
    log.info("outbox_writable")

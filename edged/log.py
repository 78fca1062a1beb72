"""Structured logs: event names with key/values, one line per state change; JSON except on a terminal."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

import orjson
import structlog
from structlog.typing import FilteringBoundLogger

NOISY_LIBRARIES = ("asyncua", "pymodbus", "aiomqtt", "paho", "aiohttp.access", "amqtt", "transitions")


def get_logger(area: str) -> FilteringBoundLogger:
    """The logger of one area; cheap, configured lazily by the first `configure`."""
    logger: FilteringBoundLogger = structlog.get_logger(area=area)
    return logger


def configure(level: str = "info", *, as_json: bool | None = None, stream: TextIO | None = None) -> None:
    """Sets the logging of the process: to stderr, JSON unless it is a terminal; libraries report errors only."""
    out = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    if as_json is None:
        as_json = not out.isatty()
    renderer: Any = (
        structlog.processors.JSONRenderer(serializer=_to_text)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=out.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Unfailing(out))),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(number, logging.WARNING), stream=out, format="%(levelname)s %(name)s %(message)s")
    for name in NOISY_LIBRARIES:
        logging.getLogger(name).setLevel(logging.ERROR)


LOST = (OSError, ValueError)
"""What a stream says whose disk is full, whose reader is gone, or that is closed."""


class _Unfailing:
    """A stream that loses lines rather than stop who writes them: its disk may be the one that is full."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(*LOST):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(*LOST):
            self._stream.flush()


def _to_text(event: object, **_: object) -> str:
    return orjson.dumps(event, default=str).decode()

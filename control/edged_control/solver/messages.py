"""What the daemon and a solver's process say to each other: JSON in frames of a length and so many bytes."""

from __future__ import annotations

import struct
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from edged.controller_settings import MpcSettings, NonlinearMpcSettings
from edged.section import Finite, NotNegative, Seconds

LENGTH = struct.Struct(">I")
DEADLINE_PERIODS = 0.2
LONGEST_DEADLINE_SECONDS = 1.0
LARGEST_BYTES = 1 << 20
"""No message is longer; whoever claims more talks of something else."""


class Message(BaseModel):
    """Base of every message: nothing unknown, no number that is none."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class InputRange(Message):
    """The envelope of one input, in its unit."""

    low: Finite
    high: Finite
    rate_per_second: Finite


class Setup(Message):
    """The first message to a solver: everything that its controller is built from.

    `artefact` is the whole JSON; empty where the settings hold the model themselves.
    """

    artefact: str
    settings: MpcSettings | NonlinearMpcSettings = Field(discriminator="kind")
    limits: tuple[InputRange, ...]
    period_seconds: Seconds

    @property
    def deadline_seconds(self) -> float:
        """How long an answer is waited for."""
        return min(DEADLINE_PERIODS * self.period_seconds, LONGEST_DEADLINE_SECONDS)


class Ready(Message):
    """Its answer, given after a first solve: the hash of the model that it uses, or why there is no controller."""

    model_hash: str = ""
    fault: str = ""


class Question(Message):
    """One period: what was read, `seconds` after the last question. `fresh` drops what the last solve left behind.

    An output that could not be read is None. Inputs that are not `free` stay where they are, outputs that don't `count`
    may go where they like; empty means all.
    """

    number: int
    set_points: tuple[Finite, ...]
    outputs: tuple[Finite | None, ...]
    applied: tuple[Finite, ...]
    seconds: NotNegative
    fresh: bool
    free: tuple[bool, ...] = ()
    count: tuple[bool, ...] = ()


class Answer(Message):
    """What is to be applied, or the fault for which there is nothing; and by how much the prediction was wrong.

    `began` tells that nothing was known of the plant before this question, `assumed` how the model that planned differs
    from the identified one, empty where it does not.
    """

    number: int
    inputs: tuple[Finite, ...] = ()
    errors: tuple[Finite, ...] = ()
    solve_seconds: NotNegative = 0.0
    began: bool = False
    fault: str = ""
    assumed: str = ""


class Garbled(ValueError):
    """What came is no message."""


M = TypeVar("M", bound=Message)


def framed(message: Message) -> bytes:
    """The message on the wire."""
    body = message.model_dump_json().encode()
    return LENGTH.pack(len(body)) + body


def body_bytes(head: bytes) -> int:
    """How many bytes follow the head of a frame. Raises Garbled."""
    (length,) = LENGTH.unpack(head)
    if not 0 < length <= LARGEST_BYTES:
        raise Garbled(f"a message of {length} bytes")
    return int(length)


def read_message(kind: type[M], body: bytes) -> M:
    """The message in a frame. Raises Garbled."""
    try:
        return kind.model_validate_json(body)
    except ValueError as fault:
        raise Garbled(f"no {kind.__name__}: {str(fault).splitlines()[0]}") from fault

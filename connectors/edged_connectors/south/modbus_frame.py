"""RTU frames as they come in: whether the bytes so far are, or can become, the one answer that is awaited."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from pymodbus.framer import FramerRTU
from pymodbus.pdu import ModbusPDU

from edged_connectors.south.modbus_requests import EXCEPTION_BIT

UNIT_AND_FUNCTION = 2
CHECKSUM_BYTES = 2
EXCEPTION_BYTES = 5
WRITE_ANSWER_BYTES = 8
READ_FRAME_BYTES = 5
"""Unit (1), function (1), byte count (1), checksum (2) around the values of a read."""
BIT_READS = frozenset({1, 2})
REGISTER_READS = frozenset({3, 4})
READS = BIT_READS | REGISTER_READS


class Verdict(Enum):
    """What the bytes are: the start of the answer, the answer, the answer damaged, or something else."""

    MORE = "more"
    RIGHT = "right"
    DAMAGED = "damaged"
    FOREIGN = "foreign"


class Judgement(NamedTuple):
    """A verdict, and what is wrong."""

    verdict: Verdict
    fault: str = ""


def request_bytes(request: ModbusPDU) -> int:
    """The length of its whole frame."""
    return UNIT_AND_FUNCTION + len(request.encode()) + CHECKSUM_BYTES


def answer_bytes(request: ModbusPDU) -> int:
    """The length of the whole frame that answers it, unless the device refuses."""
    if request.function_code in BIT_READS:
        return READ_FRAME_BYTES + (request.count + 7) // 8
    if request.function_code in REGISTER_READS:
        return READ_FRAME_BYTES + 2 * request.count
    return WRITE_ANSWER_BYTES


def judge(data: bytes, request: ModbusPDU) -> Judgement:
    """What the bytes that came since the request are to it."""
    if data and data[0] != request.dev_id:
        return Judgement(Verdict.FOREIGN, f"an answer of unit {data[0]} instead of {request.dev_id}")
    if len(data) < UNIT_AND_FUNCTION:
        return Judgement(Verdict.MORE)
    if data[1] & ~EXCEPTION_BIT != request.function_code:
        return Judgement(Verdict.FOREIGN, f"an answer to function {data[1]} instead of {request.function_code}")
    expected = EXCEPTION_BYTES if data[1] & EXCEPTION_BIT else answer_bytes(request)
    if len(data) < expected:
        return Judgement(Verdict.MORE)
    if len(data) > expected:
        return Judgement(Verdict.DAMAGED, "more bytes than the answer has")
    body, checksum = data[:-CHECKSUM_BYTES], int.from_bytes(data[-CHECKSUM_BYTES:], "big")
    if not FramerRTU.check_CRC(body, checksum):
        return Judgement(Verdict.DAMAGED, "an answer with a wrong checksum")
    return Judgement(Verdict.RIGHT)

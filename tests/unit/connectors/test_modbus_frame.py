"""RTU frames: nothing but the whole and undamaged answer to this request is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, WriteSingleCoilRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, WriteMultipleRegistersRequest

from edged_connectors.south.modbus import ModbusOptions
from edged_connectors.south.modbus_frame import Verdict, answer_bytes, judge, request_bytes
from edged_connectors.south.modbus_serial import SerialPort

READ = ReadHoldingRegistersRequest(address=4, count=3, dev_id=17)
COILS = ReadCoilsRequest(address=4, count=9, dev_id=17)
WRITE = WriteMultipleRegistersRequest(address=4, registers=[1, 2], count=2, dev_id=17)
COIL = WriteSingleCoilRequest(address=4, bits=[True], dev_id=17)


def frame(*body: int) -> bytes:
    return bytes(body) + FramerRTU.compute_CRC(bytes(body)).to_bytes(2, "big")


ANSWERS = [
    (READ, frame(17, 3, 6, 0, 1, 0, 2, 0, 3)),
    (COILS, frame(17, 1, 2, 0xFF, 1)),
    (WRITE, frame(17, 16, 0, 4, 0, 2)),
    (COIL, frame(17, 5, 0, 4, 0xFF, 0)),
    (READ, frame(17, 0x83, 2)),
]


@pytest.mark.parametrize(("request_", "answer"), ANSWERS)
def test_the_answer_is_right_when_it_is_whole(request_: ModbusPDU, answer: bytes) -> None:
    for end in range(len(answer)):
        assert judge(answer[:end], request_).verdict is Verdict.MORE
    assert judge(answer, request_).verdict is Verdict.RIGHT
    assert judge(answer + b"\0", request_).verdict is Verdict.DAMAGED


@given(st.sampled_from(ANSWERS), st.integers(0, 99), st.integers(1, 255))
def test_one_damaged_byte_is_noticed(pair: tuple[ModbusPDU, bytes], place: int, change: int) -> None:
    asked, answer = pair
    spoiled = bytearray(answer)
    spoiled[place % len(answer)] ^= change
    verdict, fault = judge(bytes(spoiled), asked)
    assert verdict is not Verdict.RIGHT
    assert fault or verdict is Verdict.MORE


@given(st.sampled_from([READ, COILS, WRITE, COIL]), st.binary(max_size=300))
def test_whatever_comes_only_a_frame_with_its_checksum_is_right(asked: ModbusPDU, data: bytes) -> None:
    if judge(data, asked).verdict is Verdict.RIGHT:
        assert frame(*data[:-2]) == data
        assert data[0] == 17


def test_lengths_on_the_wire() -> None:
    assert [request_bytes(one) for one in (READ, COILS, WRITE, COIL)] == [8, 8, 13, 8]
    assert [answer_bytes(one) for one in (READ, COILS, WRITE, COIL)] == [11, 7, 8, 8]


def test_how_long_characters_take() -> None:
    port = SerialPort.model_validate({"path": "/dev/ttyS0", "baud_rate": 9600})
    assert port.seconds(96) == pytest.approx(96 * 11 / 9600)
    assert port.model_copy(update={"parity": "none"}).framing != port.framing


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({}, "exactly one of host and serial"),
        ({"host": "plc", "serial": {"path": "/dev/ttyS0"}}, "exactly one of host and serial"),
        ({"serial": {"path": "/dev/ttyS0"}, "port": 502}, "port belongs to host"),
        ({"serial": {"path": "/dev/ttyS0"}, "device_id": 0}, "1 to 247, got 0"),
        ({"serial": {"path": "ttyS0"}}, "should match pattern"),
        ({"serial": {"path": "/dev/ttyS0", "parity": "mark"}}, "'none', 'even' or 'odd'"),
        ({"serial": {"path": "/dev/ttyS0", "stop_bits": 3}}, "less than or equal to 2"),
    ],
)
def test_faults_of_the_options(options: dict[str, object], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        ModbusOptions.model_validate(options)

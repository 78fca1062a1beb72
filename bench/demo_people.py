"""The people of the demo: an operator and an engineer, made and asked by `edged control`, and one at the plant."""

from __future__ import annotations

import os
import subprocess

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException

from bench.line import LineStack
from bench.processes import StackFailed, program

OPERATOR, ENGINEER = "anna", "chris"
COMMAND_SECONDS = 60.0
BELT_REGISTER = 102
DEVICE = 1


class People:
    """Tokens and the private key are in the line's folder, for the owner only."""

    def __init__(self, stack: LineStack) -> None:
        self._stack = stack
        self._key = stack.folder / f"{ENGINEER}.key"

    def hire(self) -> None:
        """Makes both and the engineer's key pair, whose public part the line trusts."""
        for name, role in ((OPERATOR, "operator"), (ENGINEER, "engineer")):
            place = ("--file", str(self._stack.operators), "--out", self._token(name))
            self._edged("add-operator", name, "--role", role, *place)
        self._edged("keygen", ENGINEER, "--out", str(self._stack.folder))
        self._stack.engineers.write_bytes(self._key.with_suffix(".pub").read_bytes())

    def approve(self, loop: str, value: float) -> None:
        """The engineer lets the output of a loop move as far as that."""
        self._order(ENGINEER, "approve", loop, "--key", str(self._key), "--value", f"{value:g}")

    def give_back(self, loop: str, reason: str) -> None:
        """The operator gives the output back to its controller."""
        self._order(OPERATOR, "override", loop, "--reason", reason)

    def _order(self, who: str, *words: str) -> None:
        url = f"http://127.0.0.1:{self._stack.http_port}"
        self._edged(*words, "--url", url, "--token-file", self._token(who))

    def _edged(self, *words: str) -> None:
        """Raises StackFailed with what the command said."""
        answer = subprocess.run(
            [program("edged"), "control", *words],
            env=os.environ | self._stack.environment(),
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
            process_group=0,  # Ctrl-C is for the demo, which lets an order that was given be carried out
        )
        if answer.returncode:
            raise StackFailed(f"edged control {words[0]}: {answer.stderr.strip()}")

    def _token(self, name: str) -> str:
        return str(self._stack.folder / f"{name}.token")


def turn_the_belt(port: int, speed: float) -> None:
    """Somebody at the plant sets the belt drive, m/min, past edged. Raises StackFailed where the device refuses."""
    client = ModbusTcpClient("127.0.0.1", port=port)
    try:
        if not client.connect():  # type: ignore[no-untyped-call]
            raise StackFailed(f"nobody answers on Modbus port {port}")
        registers = client.convert_to_registers(speed, client.DATATYPE.FLOAT32)
        if client.write_registers(BELT_REGISTER, registers, device_id=DEVICE).isError():
            raise StackFailed(f"the belt drive refuses {speed:g} m/min")
    except ModbusException as fault:
        raise StackFailed(f"the belt drive does not answer: {fault}") from fault
    finally:
        client.close()  # type: ignore[no-untyped-call]

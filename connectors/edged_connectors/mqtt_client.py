"""aiomqtt's client, which also notices a connection that was reset while nobody looked.

libuv stops watching a socket on which an error stands, and tells nobody: a broker that hung up while our process stood
still would count as connected until its keep-alive has run out twice.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from typing import Any

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt import MQTTException

LOOK_SECONDS = 1.0
PACKETS_PER_TURN = 50
"""Read at once before other tasks have their turn: some milliseconds of work."""
BROKEN = (OSError, ValueError, struct.error, MQTTException)
"""What the library raises over a connection that broke, or bytes that are no MQTT."""


class MqttClient(aiomqtt.Client):
    """Used for one connection only."""

    def _read_packets(self) -> bool:
        """Takes what has arrived, or finds out that the connection is gone; whether there may be more."""
        return all(self._read_packet() or self._decrypted() for _ in range(PACKETS_PER_TURN))

    def _read_packet(self) -> bool:
        """Whether one came. The library reads one at a time and does not tell."""
        before = self._client._last_bytes_received  # noqa: SLF001
        try:
            self._client.loop_read()
        except BROKEN as fault:
            self._break(fault)
        return bool(self._client._last_bytes_received != before)  # noqa: SLF001

    def _decrypted(self) -> bool:
        """Whether TLS holds bytes that the socket will not tell of."""
        sock = self._client.socket()
        return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0 and not self._disconnected.done()

    def _write_packets(self) -> None:
        try:
            self._client.loop_write()
        except BROKEN as fault:
            self._break(fault)

    def _break(self, fault: Exception) -> None:
        if not self._disconnected.done():
            self._disconnected.set_exception(fault)

    def _on_socket_open(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        """Called in the thread that connects."""
        del client, userdata
        self._loop.call_soon_threadsafe(self._watch, sock)

    def _watch(self, sock: Any) -> None:
        """Reads when something comes, unless it is closed already, or was reset."""
        if sock.fileno() < 0:
            return
        self._misc_task = self._loop.create_task(self._misc_loop())
        try:
            self._loop.add_reader(sock.fileno(), self._read_packets)
        except (OSError, RuntimeError):
            self._read_packets()

    def _on_socket_register_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        del client, userdata
        self._loop.call_soon_threadsafe(self._wait_for_room, sock)

    def _wait_for_room(self, sock: Any) -> None:
        """Writes when the socket takes more, unless it is closed already, or was reset."""
        if sock.fileno() < 0:
            return
        try:
            self._loop.add_writer(sock.fileno(), self._write_packets)
        except (OSError, RuntimeError):
            self._read_packets()

    async def _misc_loop(self) -> None:
        while self._client.loop_misc() == paho.MQTT_ERR_SUCCESS:
            await asyncio.sleep(LOOK_SECONDS)
            while self._read_packets():  # noqa: ASYNC110 - there is nothing to wait for: it is there
                await asyncio.sleep(0)

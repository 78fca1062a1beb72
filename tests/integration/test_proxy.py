"""The proxy of the drills before a real server: it delays, cuts without a word, answers itself and loses answers."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from bench.proxy import Proxy, Rewrite, Weather, http_answer

DELAY_SECONDS = 0.1
SILENCE_SECONDS = 0.2


class Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while line := self.rfile.readline():
            self.wfile.write(line)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    with Proxy(server.server_address[1]) as made:
        yield made
    server.shutdown()
    thread.join()
    server.server_close()


@contextlib.contextmanager
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5.0) as made:
        yield made


def echo(connection: socket.socket, said: bytes = b"hello\n") -> bytes:
    connection.sendall(said)
    return connection.recv(1000)


def is_silent(connection: socket.socket) -> bool:
    """Neither data nor an end comes."""
    connection.settimeout(SILENCE_SECONDS)
    connection.sendall(b"hello\n")
    with contextlib.suppress(TimeoutError):
        connection.recv(1000)
        return False
    return True


def test_it_delays_both_ways(proxy: Proxy) -> None:
    with client(proxy) as connection:
        assert echo(connection) == b"hello\n"
        proxy.set(Weather(delay_seconds=DELAY_SECONDS))
        began = time.monotonic()
        assert echo(connection) == b"hello\n"
        assert time.monotonic() - began >= 2 * DELAY_SECONDS


def test_a_cut_connection_hears_nothing_and_stays_dead(proxy: Proxy) -> None:
    with client(proxy) as old:
        assert echo(old) == b"hello\n"
        proxy.cut()
        assert is_silent(old)
        with client(proxy) as during:
            assert is_silent(during)
            proxy.mend()
            assert is_silent(during)
        assert is_silent(old)
        with client(proxy) as new:
            assert echo(new) == b"hello\n"


def test_it_answers_in_turn_in_place_of_the_server(proxy: Proxy) -> None:
    answers = (http_answer("500 Internal Server Error"), http_answer("429 Too Many Requests", "Retry-After: 1"))
    proxy.answer_instead(*answers)
    request = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    with client(proxy) as connection:
        assert [echo(connection, request) for _ in range(3)] == [*answers, answers[0]]
    assert proxy.refused == 3
    proxy.answer_instead()
    with client(proxy) as connection:
        assert echo(connection) == b"hello\n"


def test_what_the_server_says_passes_a_filter_or_breaks_the_connection(proxy: Proxy) -> None:
    def broken() -> Rewrite:
        def lose(_: bytes) -> bytes:
            raise ConnectionResetError

        return lose

    proxy.rewrite(lambda: bytes.upper)
    with client(proxy) as connection:
        assert echo(connection) == b"HELLO\n"
    proxy.rewrite(broken)
    with client(proxy) as connection:
        assert echo(connection) == b""

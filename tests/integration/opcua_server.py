"""An OPC UA server as a process of its own (asyncua server), steered over standard input by one JSON object a line.

{"set": NAME, "value": V}, {"status": NAME, "code": C}, {"age": NAME, "value": V, "seconds": S} -> {"done": true}
{"get": NAME} -> {"value": V}
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from asyncua import Server, ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.history import HistoryDict
from cryptography import x509
from cryptography.hazmat.primitives import serialization

NAMESPACE = "urn:edged:test"
EVERY_POLICY = [
    ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
    ua.SecurityPolicyType.Basic256Sha256_Sign,
    ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
    ua.SecurityPolicyType.Aes128Sha256RsaOaep_Sign,
    ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
    ua.SecurityPolicyType.Aes256Sha256RsaPss_Sign,
    ua.SecurityPolicyType.NoSecurity,
]
WRITABLE = {
    "setpoint": (0.0, ua.VariantType.Double),
    "whole": (0, ua.VariantType.Int32),
    "small": (0, ua.VariantType.Byte),
    "flag": (False, ua.VariantType.Boolean),
}
READABLE = {
    "reading": (0.0, ua.VariantType.Double),
    "text": ("", ua.VariantType.String),
    "list": ([1.0, 2.0], ua.VariantType.Double),
}


class Users:
    """Knows a single user with a password, users by their certificates (DER), and maybe nobody in particular."""

    def __init__(self, user: str, certificates: set[bytes], *, anonymous: bool) -> None:
        self._known = tuple(user.split(":", 1))
        self._certificates = certificates
        self._anonymous = anonymous

    def get_user(
        self, _server: Any, username: str | None = None, password: Any = None, certificate: bytes | None = None
    ) -> User | None:
        """The user, or None for anyone else."""
        given = password.decode() if isinstance(password, bytes) else password
        if username is not None:
            known = (username, given) == self._known
        elif certificate:
            known = certificate in self._certificates
        else:
            known = self._anonymous
        return User(role=UserRole.User, name=username) if known else None


async def serve(options: argparse.Namespace) -> None:
    """Serves until standard input ends."""
    users = Users(options.user, trusted(options), anonymous=options.every_policy) if options.user else None
    server = Server(user_manager=users)
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{options.port}/")
    await secure(server, options)
    if users and not options.every_policy:
        server.set_identity_tokens([ua.UserNameIdentityToken])
    for uri in options.namespaces.split(","):
        await server.register_namespace(uri)
    nodes, counters = await fill(server, options.counters)
    async with server, asyncio.TaskGroup() as group:
        if options.history:
            await keep_history(server, counters[: options.history], options.history_page, options.history_values)
        counting = group.create_task(count(server, counters, options.period_seconds))
        await obey(server, nodes)
        counting.cancel()


async def secure(server: Server, options: argparse.Namespace) -> None:
    """Basic256Sha256 alone or every policy, with a folder of trusted certificates; or no security at all."""
    if options.certificate is None:
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        return
    await server.set_application_uri("urn:edged:test:server")
    await server.load_certificate(options.certificate)
    await server.load_private_key(options.key)
    server.set_security_policy(EVERY_POLICY if options.every_policy else [EVERY_POLICY[0]])
    known = trusted(options)

    async def validate(certificate: x509.Certificate, _application: Any) -> None:
        if certificate.public_bytes(serialization.Encoding.DER) not in known:
            raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)

    server.set_certificate_validator(validate)


def trusted(options: argparse.Namespace) -> set[bytes]:
    """The certificates that the server trusts, DER."""
    return {path.read_bytes() for path in options.trusted.iterdir()} if options.trusted else set()


async def fill(server: Server, counters: int) -> tuple[dict[str, Any], list[Any]]:
    """The tree: a folder Furnace with named variables, a folder Counters with counters."""
    index = await server.get_namespace_index(NAMESPACE)
    furnace = await server.nodes.objects.add_folder(ua.NodeId("Furnace", index), f"{index}:Furnace")
    nodes = {}
    for name, (value, kind) in {**WRITABLE, **READABLE}.items():
        nodes[name] = await furnace.add_variable(ua.NodeId(name, index), f"{index}:{name}", value, kind)
        if name in WRITABLE:
            await nodes[name].set_writable()
    unit = ua.EUInformation(DisplayName=ua.LocalizedText("degC"))
    await nodes["reading"].add_property(ua.NodeId("reading.unit", index), "0:EngineeringUnits", unit)
    await nodes["reading"].add_property(ua.NodeId("reading.range", index), "0:EURange", ua.Range(1200.0, 1700.0))
    folder = await server.nodes.objects.add_folder(ua.NodeId("Counters", index), f"{index}:Counters")
    counted = [await folder.add_variable(ua.NodeId(f"c{i}", index), f"{index}:c{i}", 0.0) for i in range(counters)]
    return nodes, [node.nodeid for node in counted]


async def keep_history(server: Server, nodes: list[Any], page: int, values: int) -> None:
    """The server keeps the nodes' past in memory: so many values each, 0 all; at most `page` go into one answer."""
    server.iserver.history_manager.set_storage(HistoryDict(page))
    for node in nodes:
        await server.iserver.enable_history_data_change(server.get_node(node), None, values)


async def count(server: Server, counters: list[Any], period_seconds: float) -> None:
    """Every counter goes up by one each period."""
    value = 0.0
    while counters:
        value += 1.0
        now = datetime.now(UTC)
        data = ua.DataValue(ua.Variant(value, ua.VariantType.Double), SourceTimestamp=now, ServerTimestamp=now)
        for node in counters:
            await server.iserver.aspace.write_attribute_value(node, ua.AttributeIds.Value, data)
        await asyncio.sleep(period_seconds)


async def obey(server: Server, nodes: dict[str, Any]) -> None:
    """Carries out what standard input says, line by line."""
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    answer({"ready": True})
    while line := await lines.readline():
        order = json.loads(line)
        if "get" in order:
            answer({"value": await nodes[order["get"]].read_value()})
            continue
        await change(server, nodes, order)
        answer({"done": True})


async def change(server: Server, nodes: dict[str, Any], order: dict[str, Any]) -> None:
    """Sets a value, a status or an age."""
    name = order.get("set") or order.get("status") or order["age"]
    kind = ({**WRITABLE, **READABLE})[name][1]
    value = order.get("value", 0.0)
    if kind is ua.VariantType.Double:
        value = float(value)
    now = datetime.now(UTC)
    data = ua.DataValue(
        ua.Variant(value, kind),
        StatusCode=ua.StatusCode(order.get("code", 0)),
        SourceTimestamp=now - timedelta(seconds=order.get("seconds", 0.0)),
        ServerTimestamp=now,
    )
    await server.iserver.aspace.write_attribute_value(nodes[name].nodeid, ua.AttributeIds.Value, data)


def answer(message: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serves until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--namespaces", default=NAMESPACE)
    parser.add_argument("--counters", type=int, default=0)
    parser.add_argument("--period-seconds", type=float, default=0.1)
    parser.add_argument("--history", type=int, default=0, help="so many counters keep their past")
    parser.add_argument("--history-page", type=int, default=10_000)
    parser.add_argument("--history-values", type=int, default=0)
    parser.add_argument("--user", default="")
    parser.add_argument("--every-policy", action="store_true")
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--trusted", type=Path)
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()

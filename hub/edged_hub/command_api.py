"""The routes of commands: engineers ask, every user may see what was asked and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edged.errors import EdgedError
from edged_hub.api import PostRoute, Route
from edged_hub.commands import Commands, HeldCommand
from edged_hub.identities import Caller
from edged_hub.models import CommandBody, CommandRecord, CommandsAnswer, CommandsQuery, CommandTaken, iso_time
from edged_hub.store import IdentityKind, Role, Store

PATH = "/api/v1/commands"
COMMANDERS = frozenset({Role.ENGINEER, Role.ADMIN})


class UnknownNode(EdgedError):
    """No such line is enrolled here: `edged-hub status` lists the lines."""


class CommandApi:
    """What users ask of lines."""

    def __init__(self, store: Store, commands: Commands) -> None:
        self._store = store
        self._commands = commands

    def routes(self) -> Sequence[Route[Any]]:
        """What every user may ask."""
        return (
            Route(PATH, "Commands and what became of them, newest first", CommandsQuery, CommandsAnswer, self.newest),
        )

    def posts(self) -> Sequence[PostRoute[Any]]:
        """What only some users may."""
        summary = "Asks a line to move a signal; its gate judges, its answer comes with GET"
        return (PostRoute(PATH, summary, CommandBody, CommandTaken, COMMANDERS, self.add),)

    async def newest(self, query: CommandsQuery) -> CommandsAnswer:
        """The newest commands first."""
        return CommandsAnswer(commands=[_record(held) for held in self._commands.newest(query.node, query.limit)])

    async def add(self, body: CommandBody, caller: Caller) -> CommandTaken:
        """Lines a command up for its line. Raises UnknownNode, TooManyWaiting, StoreUnavailable."""
        if await self._store.identity(IdentityKind.EDGE, body.node) is None:
            raise UnknownNode(f"node: no line {body.node!r} is enrolled here")
        held = self._commands.add(caller.name, body.node, body.signal, body.value, body.lives_seconds)
        return CommandTaken(id=held.identity, state=held.state)


def _record(held: HeldCommand) -> CommandRecord:
    return CommandRecord(
        id=held.identity,
        node=held.node,
        user=held.user,
        timestamp=iso_time(held.time),
        signal=held.signal,
        value=held.value,
        state=held.state,
        reason=held.reason,
    )

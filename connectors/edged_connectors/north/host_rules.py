"""The rules for STATE messages of hosts, in the form of Sparkplug 3.0 and in the older one."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from edged_connectors.north.rulebook import Fault, Rule, stamp_faults

STATE_QOS = 1
WORDS = (b"ONLINE", b"OFFLINE")


class HostRules:
    """Fed the STATE messages of one host in the order of arrival."""

    def __init__(self) -> None:
        self._newest = 0

    def check(self, payload: bytes, *, legacy: bool, retain: bool | None, qos: int) -> Iterator[Fault]:
        """The faults of this message; `retain` is None where it could not be seen."""
        if retain is False:
            yield Fault(Rule.NOT_RETAINED, "a STATE message that is not retained")
        if qos != STATE_QOS:
            yield Fault(Rule.QOS, f"STATE with QoS {qos}")
        if not legacy:
            yield from self._check_document(payload)
        elif payload not in WORDS:
            yield Fault(Rule.STATE_FORM, "neither ONLINE nor OFFLINE")

    def _check_document(self, payload: bytes) -> Iterator[Fault]:
        try:
            document = orjson.loads(payload)
        except orjson.JSONDecodeError as fault:
            yield Fault(Rule.STATE_FORM, f"not JSON: {fault}")
            return
        if not isinstance(document, dict) or set(document) != {"online", "timestamp"}:
            yield Fault(Rule.STATE_FORM, "expected an object of online and timestamp")
            return
        stamp = document["timestamp"]
        if not isinstance(document["online"], bool):
            yield Fault(Rule.STATE_FORM, "is not true or false", "online")
        if not isinstance(stamp, int) or isinstance(stamp, bool):
            yield Fault(Rule.STATE_FORM, "is not a whole number", "timestamp")
            return
        yield from stamp_faults(True, stamp, "timestamp")
        if stamp < self._newest:
            yield Fault(Rule.TIMESTAMP_BACKWARDS, f"{stamp} after {self._newest}", "timestamp")
        self._newest = max(self._newest, stamp)

"""What the configuration of an OPC UA source may say, and what follows from it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from edged_connectors.south.opcua_options import NodeReference, OpcUaAddress, OpcUaOptions

SECURED = {"security_policy": "Basic256Sha256", "certificate": "edged.der", "key": "edged.pem"}
ENDPOINT = "opc.tcp://127.0.0.1:4840/"


@pytest.mark.parametrize(
    ("node", "reference"),
    [
        ("nsu=urn:edged:sim:line_a;s=furnace.temperature", ("s=furnace.temperature", "urn:edged:sim:line_a", 0)),
        ("nsu=http://plant/a;b/;s=x;y=z", ("s=x;y=z", "http://plant/a;b/", 0)),
        ("ns=2;i=1001", ("i=1001", None, 2)),
        ("i=2258", ("i=2258", None, 0)),
        ("ns=3;g=09087e75-8e5e-499b-954f-f2a9603db28a", ("g=09087e75-8e5e-499b-954f-f2a9603db28a", None, 3)),
        ("ns=1;b=M/RbKBsRVkePCePcx24oRA==", ("b=M/RbKBsRVkePCePcx24oRA==", None, 1)),
    ],
)
def test_nodes_are_taken_apart(node: str, reference: tuple[str, str | None, int]) -> None:
    assert OpcUaAddress(node=node).reference() == NodeReference(*reference)


@pytest.mark.parametrize(
    ("profile", "mode", "most"),
    [("s7_1200", "subscription", 999), ("s7_1500", "subscription", 9999), ("s7_1200", "polling", 5000)],
)
def test_a_profile_bounds_the_signals_of_a_subscription(profile: str, mode: str, most: int) -> None:
    options = OpcUaOptions.model_validate({"endpoint": ENDPOINT, "profile": profile, "mode": mode})
    assert not options.overload(most)
    if mode == "subscription":
        assert options.overload(most + 1) == (
            f"a server of profile {profile} takes {most} signals by subscription, got {most + 1}: use mode polling"
        )
    assert not OpcUaOptions(endpoint=ENDPOINT).overload(100_000)


@pytest.mark.parametrize("node", ["", "furnace", "ns=x;s=a", "nsu=urn:a", "ns=2;", "s="])
def test_a_node_that_is_none_is_a_fault(node: str) -> None:
    with pytest.raises(ValidationError, match="a node looks like"):
        OpcUaAddress(node=node)


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4840", "http://plc:4840", "opc.tcp://", "opc.tcp://plc:port/"])
def test_an_endpoint_that_is_none_is_a_fault(endpoint: str) -> None:
    with pytest.raises(ValidationError, match="an endpoint looks like"):
        OpcUaOptions(endpoint=endpoint)


@pytest.mark.parametrize(
    "options",
    [
        {"username": "operator"},
        {"security_policy": "Basic256Sha256"},
        {"security_policy": "Basic128Rsa15"},
        {**SECURED, "key": None, "trust_folder": "trust"},
        {**SECURED, "server_certificate": "plc.der", "trust_folder": "trust"},
        {**SECURED, "server_certificate": "plc.der", "trust_first_contact": True},
        {"user_certificate": "operator.der"},
        {"user_certificate": "o.der", "user_key": "o.pem", "username": "o", "password": {"environment": "P"}},
        {"history": "always"},
        {"history_window_seconds": 0},
        {"request_timeout_seconds": 4},
        {"keep_alive_seconds": 30, "lifetime_seconds": 60},
        {"queue_seconds": 0},
        {"publishing_milliseconds": 0},
        {"auto_reconnect": True},
    ],
)
def test_options_that_cannot_work_are_faults(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OpcUaOptions.model_validate({"endpoint": ENDPOINT, **options})


@pytest.mark.parametrize(
    ("publishing", "keep_alive_count", "lifetime_count"), [(200, 10, 300), (1000, 2, 60), (5000, 1, 12), (60_000, 1, 3)]
)
def test_counts_follow_from_seconds(publishing: float, keep_alive_count: int, lifetime_count: int) -> None:
    options = OpcUaOptions(endpoint=ENDPOINT, publishing_milliseconds=publishing)
    assert (options.keep_alive_count(), options.lifetime_count()) == (keep_alive_count, lifetime_count)
    assert options.lifetime_count() >= 3 * options.keep_alive_count()


@pytest.mark.parametrize(("publishing", "sampling", "size"), [(200, 50, 25), (200, 60, 21), (100, 1000, 3)])
def test_the_queue_holds_an_interval_and_a_stall(publishing: float, sampling: float, size: int) -> None:
    options = OpcUaOptions(endpoint=ENDPOINT, publishing_milliseconds=publishing, queue_seconds=1)
    assert options.queue_size(sampling) == size


def test_a_signal_may_be_sampled_at_its_own_rate() -> None:
    options = OpcUaOptions(endpoint=ENDPOINT, sampling_milliseconds=50)
    assert options.sampling_of(OpcUaAddress(node="i=1")) == 50
    assert options.sampling_of(OpcUaAddress(node="i=1", sampling_milliseconds=10)) == 10


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({}, 86_400.0),
        ({"history_window_seconds": 60}, 60.0),
        ({"history": "off"}, 0.0),
        ({"mode": "polling"}, 0.0),
    ],
)
def test_history_is_asked_for_what_a_subscription_lost(options: dict[str, object], seconds: float) -> None:
    assert OpcUaOptions.model_validate({"endpoint": ENDPOINT, **options}).recall_seconds() == seconds


def test_servers_are_known_by_one_certificate_or_by_a_folder() -> None:
    for trust in ({"server_certificate": "plc.der"}, {"trust_folder": "trust", "trust_first_contact": True}):
        assert OpcUaOptions.model_validate({"endpoint": ENDPOINT, **SECURED, **trust})

"""The last line of a report is JSON that any reader takes, whatever the figures are."""

from __future__ import annotations

import json
import math

import pytest

from bench.report import Bar, Report


def refuse(word: str) -> float:
    raise ValueError(word)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_does_not_know_is_null_and_keeps_no_promise(
    value: float, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Report("bench", ("what",))
    report.figures = {"p50": value, "parts": {"a": [value, 1.5]}, "name": "x"}
    report.bars = [Bar("low", value, 1.0), Bar("high", value, 1.0, "at_least"), Bar("kept", 1.0, 1.0)]
    assert report.show() == 1
    document = json.loads(capsys.readouterr().out.splitlines()[-1], parse_constant=refuse)
    assert document["figures"] == {"p50": None, "parts": {"a": [None, 1.5]}, "name": "x"}
    assert [(bar["value"], bar["ok"]) for bar in document["bars"]] == [(None, False), (None, False), (1.0, True)]

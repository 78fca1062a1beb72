"""What the perf gate decides from ratios, without measuring anything."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.gate import NoBaseline, Ratios, decide, judge, prove, read_baseline, write_baseline

BASELINE = {"cpu": 0.5, "pipeline": 1.7}
NOISE = (-0.04, -0.03, -0.01, 0.0, 0.0, 0.01, 0.02, 0.03, 0.05)


def ratios(factor: float, noise: Sequence[float] = NOISE) -> Ratios:
    """What nine processes would tell."""
    return {name: [base * (factor + one) for one in noise] for name, base in BASELINE.items()}


@pytest.mark.parametrize(
    ("factor", "verdict"), [(0.7, True), (1.0, True), (1.09, True), (1.2, False), (1.5, False)], ids=str
)
def test_only_what_is_worse_by_more_than_a_tenth_fails(factor: float, verdict: bool) -> None:
    judgements = judge(ratios(factor), BASELINE, random.Random(1))
    assert [one.ok for one in judgements] == [verdict, verdict]


def test_noise_alone_does_not_fail() -> None:
    wide = [-0.3, -0.2, -0.1, 0.0, 0.12, 0.2, 0.3, 0.35, 0.4]
    judgements = judge(ratios(1.0, wide), BASELINE, random.Random(1))
    assert min(one.change for one in judgements) > 1.1
    assert all(one.ok for one in judgements)


def test_what_looks_worse_is_measured_again() -> None:
    told = [ratios(1.3), ratios(0.99)]
    judgements = decide(lambda _: told.pop(0), 0.0, BASELINE, random.Random(1))
    assert told == []
    assert all(one.ok for one in judgements)


def test_what_is_worse_twice_fails() -> None:
    assert not any(one.ok for one in decide(lambda _: ratios(1.2), 0.0, BASELINE, random.Random(1)))


def test_the_proof_counts_passes_and_catches(capsys: pytest.CaptureFixture[str]) -> None:
    report = prove(3, BASELINE, lambda slower: ratios(1.0 + slower))
    assert report.figures == {"runs": 3, "same_code_passed": 3, "slowdowns_caught": 3}
    assert report.show() == 0
    blind = prove(2, BASELINE, lambda _: ratios(1.0))
    assert blind.figures["slowdowns_caught"] == 0
    assert blind.show() == 1
    assert "20% slower: passes" in capsys.readouterr().out


def test_a_baseline_belongs_to_one_python(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    with pytest.raises(NoBaseline, match="{}.{}".format(*sys.version_info)):
        read_baseline(path)
    write_baseline(ratios(1.0), path)
    assert dict(read_baseline(path)) == BASELINE

"""`edged sparkplug-check` over capture files: planted faults are named, and a file that is no capture says where."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edged.cli import main
from edged.subcommand import FAILED, WRONG_INPUT
from edged_connectors.north.check import MOST_KINDS, OTHERS, Broken, Checker
from edged_connectors.north.check_capture import (
    FIELDS,
    LATEST_TIME,
    MOST_FAULTS,
    Captured,
    CaptureReader,
    CaptureUnusable,
    CaptureWriter,
    format_line,
    parse_line,
)
from edged_connectors.north.rulebook import Rule
from tests.unit.connectors.sparkplug_mutants import (
    FIRST_DATA,
    MUTANTS,
    NBIRTH,
    SECOND_NBIRTH,
    Capture,
    Mutate,
    clean,
    remove,
    set_metric,
)

Run = Callable[..., tuple[int, str, str]]
VIOLATION = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (?P<topic>\S+)(?: seq \d+)?: (?P<rule>\w+):")


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process: exit status, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        try:
            status = main(["sparkplug-check", *map(str, arguments)])
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def write(path: Path, capture: Capture) -> Path:
    with CaptureWriter(path) as writer:
        for message in capture:
            writer.write(message)
    return path


def test_a_clean_capture_passes(check: Run, tmp_path: Path) -> None:
    capture = clean()
    for options in ((), ("--from-birth",)):
        status, out, err = check("--capture", write(tmp_path / "clean.jsonl", capture), *options)
        assert (status, err) == (0, "")
        assert out.splitlines()[-1] == f"{len(capture)} messages: no violations"
    assert re.search(r"^  glassworks/line_a +24 +16 +5 +0 +0$", out, re.MULTILINE)
    assert re.search(r"^  commands to glassworks/line_a +1 ", out, re.MULTILINE)
    assert re.search(r"^  host scada +2 ", out, re.MULTILINE)


@pytest.mark.parametrize(("rule", "mutate"), [mutant[1:] for mutant in MUTANTS], ids=[mutant[0] for mutant in MUTANTS])
def test_every_planted_fault_is_named(check: Run, tmp_path: Path, rule: Rule, mutate: Mutate) -> None:
    capture = clean()
    mutate(capture)
    status, out, _ = check("--capture", write(tmp_path / "mutant.jsonl", capture), "--from-birth")
    assert status == FAILED
    assert rule.value in {match["rule"] for match in map(VIOLATION.match, out.splitlines()) if match}


def test_a_violation_names_time_topic_seq_rule_and_metric(check: Run, tmp_path: Path) -> None:
    capture = clean()
    set_metric(FIRST_DATA, 0, float_value=2.0)(capture)
    _, out, _ = check("--capture", write(tmp_path / "mutant.jsonl", capture))
    assert out.splitlines()[0] == (
        "2026-09-21T14:13:20.400Z spBv1.0/glassworks/DDATA/line_a/furnace seq 4: "
        "value_type: 'temperature': float_value for datatype DOUBLE"
    )
    assert re.search(r"^  glassworks/line_a +value_type +temperature +1$", out, re.MULTILINE)


def test_a_fault_of_every_message_is_printed_a_few_times_and_counted(check: Run, tmp_path: Path) -> None:
    capture = [message._replace(qos=1) for message in clean()[:SECOND_NBIRTH]]
    repeated = [capture[FIRST_DATA]] * 20
    path = write(tmp_path / "mutant.jsonl", [*capture[:FIRST_DATA], *repeated])
    _, out, _ = check("--capture", path)
    assert out.count("DDATA/line_a/furnace seq 4: qos:") == 3
    assert re.search(r"^  glassworks/line_a +qos +- +24$", out, re.MULTILINE)
    _, out, _ = check("--capture", path, "--all")
    assert out.count("DDATA/line_a/furnace seq 4: qos:") == 20


def test_group_and_node_choose(check: Run, tmp_path: Path) -> None:
    capture = clean()
    other = [message._replace(topic=message.topic.replace("line_a", "line_b"), retain=True) for message in capture[:5]]
    path = write(tmp_path / "two.jsonl", [*capture, *other])
    for options, expected in (
        ((), FAILED),
        (("--node", "line_a"), 0),
        (("--group", "glassworks", "--node", "line_b"), FAILED),
        (("--group", "elsewhere"), WRONG_INPUT),
    ):
        assert check("--capture", path, *options)[0] == expected, options
    assert "host scada" not in check("--capture", path, "--node", "line_a")[1]


def test_a_node_that_is_never_born_cannot_be_judged(check: Run, tmp_path: Path) -> None:
    late = write(tmp_path / "late.jsonl", clean()[FIRST_DATA : FIRST_DATA + 3])
    status, out, _ = check("--capture", late)
    assert status == WRONG_INPUT
    assert "glassworks/line_a: no NBIRTH came, so its data was not judged" in out
    assert check("--capture", late, "--from-birth")[0] == FAILED


def test_a_missing_birth_is_seen_when_the_capture_begins_with_births(check: Run, tmp_path: Path) -> None:
    capture = clean()
    remove(NBIRTH)(capture)
    path = write(tmp_path / "mutant.jsonl", capture)
    assert check("--capture", path)[0] == 0
    assert check("--capture", path, "--from-birth")[0] == FAILED


def test_garbage_is_placed_by_file_and_line(check: Run, tmp_path: Path) -> None:
    path = tmp_path / "garbage.jsonl"
    good = format_line(clean()[0])
    path.write_bytes(
        good
        + b"\xff\xfe\n"
        + b"\n"
        + b"[1]\n"
        + b'{"at":"2026-01-01T00:00:00Z","topic":"a","payload":"","qos":0}\n'
        + b'{"at":"yesterday","topic":"a","payload":"","qos":0,"retain":false}\n'
        + b'{"at":"2026-01-01T00:00:00Z","topic":7,"payload":"","qos":0,"retain":false}\n'
        + b'{"at":"2026-01-01T00:00:00Z","topic":"a","payload":"?","qos":0,"retain":false}\n'
        + b'{"at":"2026-01-01T00:00:00Z","topic":"a","payload":"","qos":3,"retain":false}\n'
        + b'{"at":"2026-01-01T00:00:00Z","topic":"a","payload":"","qos":0,"retain":0}\n'
        + b'{"at":"2026-01-01T00:00:00Z","topic":"a","payload":"","qos":0,"retain":true,"x":1}\n'
        + good[:40]
    )
    status, _, err = check("--capture", path)
    assert status == WRONG_INPUT
    lines = err.splitlines()
    assert lines[0].startswith(f"{path}:2: is not JSON: ")
    assert lines[1:9] == [
        f"{path}:4: expected an object",
        f"{path}:5: retain is missing",
        f"{path}:6: at: expected a time such as 2026-01-31T12:00:00.000Z, got 'yesterday'",
        f"{path}:7: topic: expected text, got 7",
        f"{path}:8: payload: expected base64, got '?'",
        f"{path}:9: qos: expected 0, 1 or 2, got 3",
        f"{path}:10: retain: expected true, false or null, got 0",
        f"{path}:11: unknown key 'x'",
    ]
    assert lines[9].startswith(f"{path}:12: is not JSON: ")
    assert lines[10:] == ["edged: 10 faults"]


def test_a_file_of_garbage_alone_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "garbage"
    path.write_bytes(b"no\n" * 10_000)
    reader = CaptureReader(path)
    assert list(reader) == []
    assert len(reader.faults) == MOST_FAULTS + 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "name either a BROKER"),
        (("somewhere", "--capture", "x"), "name either a BROKER"),
        (("--capture", "x", "--record", "y"), "--record and --rebirth need a BROKER"),
        (("--capture", "/nowhere/x"), "/nowhere/x: No such file or directory"),
        (("--capture", "/"), "/: Is a directory"),
        (("a:b",), "BROKER: expected HOST or HOST:PORT, got 'a:b'"),
        (("mqtt://a",), "BROKER: expected HOST or HOST:PORT, got 'mqtt://a'"),
        (("user:word@a",), "BROKER: expected HOST or HOST:PORT"),
        (("a", "--password-file", "x"), "--password-file needs --username"),
        (("a", "--key", "x"), "--certificate and --key belong together"),
        (("a", "--seconds", "soon"), "invalid _seconds value: 'soon'"),
        (("a", "--seconds", "nan"), "invalid _seconds value: 'nan'"),
        (("127.0.0.1", "--record", "/nowhere/x"), "/nowhere/x: No such file or directory"),
        (("127.0.0.1:1", "--seconds", "1"), "broker 127.0.0.1:1: "),
    ],
)
def test_usage_and_connection_faults(check: Run, arguments: tuple[str, ...], text: str) -> None:
    status, _, err = check(*arguments)
    assert status == WRONG_INPUT
    assert text in err
    assert "Traceback" not in err


def test_metrics_without_end_are_counted_together() -> None:
    checker = Checker()
    for number in range(MOST_KINDS + 50):
        capture = clean()[: NBIRTH + 1]
        set_metric(NBIRTH, 1, name=f"metric {number}", datatype=None)(capture)
        checker.take(capture[NBIRTH])
    violations = checker.senders["glassworks/line_a"].violations
    assert violations[Broken(Rule.DATATYPE_MISSING, OTHERS)] >= 50
    assert len(violations) <= MOST_KINDS + len(Rule)


messages = st.builds(
    Captured,
    st.integers(0, LATEST_TIME // 1_000_000 - 1).map(lambda milliseconds: milliseconds * 1_000_000),
    st.text(min_size=1, max_size=40).filter(lambda text: text < "\ud800" or text.isprintable()),
    st.binary(max_size=40),
    st.integers(0, 2),
    st.sampled_from((True, False, None)),
)


@given(messages)
def test_a_line_reads_back_as_it_was(message: Captured) -> None:
    assert parse_line(format_line(message)) == message


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
documents = st.fixed_dictionaries(dict.fromkeys(FIELDS, values)).map(json.dumps).map(str.encode)


@given(st.binary(max_size=200) | documents)
@example(b'{"at":"0001-01-01T00:00:00+14:00","topic":"a","payload":"","qos":0,"retain":null}')
@example(b'{"at":"9999-12-31T23:59:59-23:59","topic":"a","payload":"","qos":0,"retain":null}')
def test_a_line_is_a_message_or_a_fault(line: bytes) -> None:
    try:
        message = parse_line(line)
    except ValueError as fault:
        sentence = str(fault)
        assert sentence
    else:
        assert parse_line(format_line(message))._replace(at=message.at) == message


@given(st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=5))
def test_a_bent_capture_never_raises(tmp_path_factory: pytest.TempPathFactory, bends: list[tuple[int, int]]) -> None:
    path = write(tmp_path_factory.getbasetemp() / "bent.jsonl", clean()[:6])
    content = bytearray(path.read_bytes())
    for position, value in bends:
        content[position % len(content)] = value
    path.write_bytes(content)
    reader, checker = CaptureReader(path), Checker()
    for message in reader:
        checker.take(message)
    assert all(fault.startswith(f"{path}:") for fault in reader.faults)


def test_a_full_disk_is_named() -> None:
    many = [clean()[NBIRTH]] * 1000
    with pytest.raises(CaptureUnusable, match="No space left"):
        write(Path("/dev/full"), many)

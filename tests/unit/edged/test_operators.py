"""Who may operate control here, and what happens to files and tokens that are not right."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from edged.operators import NoOperators, Operator, Operators, WrongOperator
from edged.ports import Role


@pytest.fixture
def operators(tmp_path: Path) -> Operators:
    return Operators(tmp_path / "operators.json")


def test_a_token_names_its_operator_and_only_its_hash_is_kept(operators: Operators, tmp_path: Path) -> None:
    token = operators.add("anna", Role.OPERATOR)
    other = operators.add("bert", Role.ENGINEER)
    assert operators.check(token) == Operator("anna", Role.OPERATOR)
    assert operators.check(other) == Operator("bert", Role.ENGINEER)
    kept = (tmp_path / "operators.json").read_text()
    assert token.partition(".")[2] not in kept
    assert [entry["name"] for entry in json.loads(kept)["operators"]] == ["anna", "bert"]
    assert stat.S_IMODE((tmp_path / "operators.json").stat().st_mode) == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["operators.json"]


def test_two_operators_never_share_salt_or_token(operators: Operators, tmp_path: Path) -> None:
    tokens = {operators.add(name, Role.OPERATOR).partition(".")[2] for name in ("a", "b", "c")}
    entries = json.loads((tmp_path / "operators.json").read_text())["operators"]
    assert len(tokens) == len({entry["salt"] for entry in entries}) == len({entry["hash"] for entry in entries}) == 3


@pytest.mark.parametrize("change", ["", "anna", "anna.", ".x", "berta.x", "anna.x", "anna." + "x" * 300, "anna.\udcff"])
def test_what_is_no_token_is_nobody(operators: Operators, change: str) -> None:
    operators.add("anna", Role.OPERATOR)
    assert operators.check(change) is None


def test_one_operators_secret_does_not_serve_another(operators: Operators) -> None:
    random = operators.add("anna", Role.OPERATOR).partition(".")[2]
    operators.add("bert", Role.ENGINEER)
    assert operators.check(f"bert.{random}") is None


def test_who_is_taken_out_is_refused_at_once(operators: Operators, tmp_path: Path) -> None:
    running = Operators(tmp_path / "operators.json")
    token = operators.add("anna", Role.OPERATOR)
    operators.add("bert", Role.OPERATOR)
    assert running.check(token) is not None
    operators.remove("anna")
    assert running.check(token) is None
    with pytest.raises(WrongOperator, match="anna is not in"):
        operators.remove("anna")
    assert operators.names() == (Operator("bert", Role.OPERATOR),)


def test_without_a_file_there_are_no_operators_and_no_default(operators: Operators, tmp_path: Path) -> None:
    with pytest.raises(NoOperators, match="no operator is named in"):
        operators.check("admin.admin")
    assert operators.names() == ()
    (tmp_path / "operators.json").write_text('{"operators": []}')
    with pytest.raises(NoOperators, match="no operator is named in"):
        operators.check("")


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
def test_a_file_that_others_may_write_is_not_trusted(operators: Operators, tmp_path: Path, mode: int) -> None:
    token = operators.add("anna", Role.OPERATOR)
    (tmp_path / "operators.json").chmod(mode)
    with pytest.raises(NoOperators, match="writable by others, so it is not trusted: chmod 644"):
        operators.check(token)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b'{"operators": [{"name": "anna", "role": "boss", "salt": "00", "hash": "00"}]}',
        b'{"operators": [{"name": "anna", "role": "operator", "salt": "zz", "hash": "00"}]}',
        b'{"operators": [{"name": "Anna", "role": "operator", "salt": "00", "hash": "00"}]}',
        b'{"operators": [], "open": true}',
    ],
)
def test_a_damaged_file_lets_nobody_in_and_is_not_overwritten(
    operators: Operators, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "operators.json"
    path.write_bytes(content)
    with pytest.raises(NoOperators, match="can't be read"):
        operators.check("anna.x")
    with pytest.raises(NoOperators, match="can't be read"):
        operators.add("anna", Role.OPERATOR)
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["", "Anna", "anna b", "anna.b", "../anna", "a" * 65, "1a"])
def test_names_that_are_none(operators: Operators, tmp_path: Path, name: str) -> None:
    with pytest.raises(WrongOperator, match="is no name"):
        operators.add(name, Role.OPERATOR)
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_given_once(operators: Operators) -> None:
    token = operators.add("anna", Role.OPERATOR)
    with pytest.raises(WrongOperator, match="anna is there already"):
        operators.add("anna", Role.ENGINEER)
    assert operators.check(token) == Operator("anna", Role.OPERATOR)

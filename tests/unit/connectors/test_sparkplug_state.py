"""bdSeq and the host's last sight outlive the daemon, and a broken file stops nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged_connectors.north.state import STATE_FILE, Remembered, StateFile


def test_bdseq_starts_at_zero_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    first = StateFile(tmp_path)
    assert [first.next_bdseq(), first.next_bdseq()] == [0, 1]
    assert StateFile(tmp_path).next_bdseq() == 2


def test_bdseq_goes_round_after_255(tmp_path: Path) -> None:
    state = StateFile(tmp_path)
    numbers = [state.next_bdseq() for _ in range(258)]
    assert numbers == [*range(256), 0, 1]


def test_the_host_is_remembered_beside_bdseq(tmp_path: Path) -> None:
    state = StateFile(tmp_path)
    state.next_bdseq()
    state.note_host(5, 1_790_000_000_000_000_000)
    assert StateFile(tmp_path).held == Remembered(0, 5, 1_790_000_000_000_000_000)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"bdseq": "x"}', b"\xff"])
def test_an_unreadable_file_counts_as_absent(tmp_path: Path, content: bytes) -> None:
    (tmp_path / STATE_FILE).write_bytes(content)
    assert StateFile(tmp_path).next_bdseq() == 0


def test_where_nothing_can_be_written_numbers_still_go_up(tmp_path: Path) -> None:
    state = StateFile(tmp_path / "absent")
    assert [state.next_bdseq(), state.next_bdseq()] == [0, 1]


def test_it_writes_again_once_it_can(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    state = StateFile(folder)
    state.next_bdseq()
    folder.mkdir()
    state.next_bdseq()
    assert StateFile(folder).held.bdseq == 1

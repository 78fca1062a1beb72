"""Who may hold the ceiling: a file that edged itself, or just anybody, could change binds nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.app import runtime_directory
from edged.ceiling import Trust, judge, trust

PLACE = Path("/etc/edged/ceiling.yaml")
EDGED = 990


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646, 0o602])
@pytest.mark.parametrize("user", [0, EDGED])
def test_what_others_can_write_is_refused_also_to_root(mode: int, user: int) -> None:
    found = judge(PLACE, mode, 0, user=user, writable=False)
    assert found == Trust(fault=f"{PLACE} is writable by others: chmod 644 {PLACE}")


def test_what_edged_itself_can_write_is_refused() -> None:
    found = judge(PLACE, 0o644, EDGED, user=EDGED, writable=True)
    assert found.fault.startswith(f"{PLACE} can be written by edged itself (user {EDGED}): chown root")


def test_what_another_user_owns_is_doubted() -> None:
    for user in (0, EDGED):
        found = judge(PLACE, 0o444, 1000, user=user, writable=False)
        assert found == Trust(doubt=f"{PLACE} belongs to user 1000, who could change it: chown root {PLACE}")


def test_roots_file_is_good() -> None:
    assert judge(PLACE, 0o644, 0, user=EDGED, writable=False) == Trust()


def test_a_real_file(tmp_path: Path) -> None:
    path = tmp_path / "ceiling.yaml"
    path.touch()
    path.chmod(0o666)
    assert "writable by others" in trust(path).fault
    path.chmod(0o444)
    assert not trust(path).fault
    with pytest.raises(FileNotFoundError):
        trust(tmp_path / "gone")


def test_daemons_of_one_box_meet_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/edged:/run/other")
    assert runtime_directory() == Path("/run/edged")
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/990")
    assert runtime_directory() == Path("/run/user/990/edged")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert runtime_directory().name.startswith("edged-")

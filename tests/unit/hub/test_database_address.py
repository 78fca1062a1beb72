"""The address of the database: what is shown of it, and that its password never is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.errors import ConfigError
from edged_hub.settings import Database, HubServerSettings


@pytest.mark.parametrize(
    ("address", "place", "local"),
    [
        ("postgresql://u:p@127.0.0.1:6000/x", "postgresql at 127.0.0.1:6000/x", True),
        ("postgres://u:p@db.plant.example/x?sslmode=require", "postgresql at db.plant.example:5432/x", False),
        ("postgresql://u@[::1]/x", "postgresql at ::1:5432/x", True),
        ("postgresql:///x?host=/run/postgresql", "postgresql at local socket:5432/x", True),
    ],
)
def test_what_is_shown_of_an_address(address: str, place: str, local: bool) -> None:
    database = Database.at(address)
    assert (database.address, database.place, database.local) == (address, place, local)


@given(st.text(st.sampled_from("secret/@:?#%[]&= \\é"), min_size=8), st.sampled_from(["postgresql", "mysql", ""]))
def test_no_password_whatever_is_shown(password: str, scheme: str) -> None:
    assert "qq" not in shown(f"{scheme}://user:qq{password}qq@db.example:5432/name")


def shown(address: str) -> str:
    """Everything that is ever said about an address, right or wrong."""
    try:
        database = Database.at(address)
    except ConfigError as fault:
        return str(fault)
    return database.place + repr(HubServerSettings(database=database))


def test_a_file_holds_the_address(tmp_path: Path) -> None:
    path = tmp_path / "database"
    path.write_text("  postgresql://u:p@localhost/x\n")
    assert Database.in_file(path).address == "postgresql://u:p@localhost/x"
    path.write_bytes(b"\xff")
    for wrong in (path, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match=f"--database-file {wrong}"):
            Database.in_file(wrong)

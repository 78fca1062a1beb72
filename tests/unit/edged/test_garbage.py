"""The collector leaves what is settled alone, and still finds the cycles that come later."""

from __future__ import annotations

import subprocess
import sys
import textwrap


def in_a_process(program: str) -> str:
    """What a program prints in a process of its own: settling is for good."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.strip()


def test_what_is_there_is_not_walked_again() -> None:
    """CARD: latency; a full collection after settling has nothing old to look at."""
    seen = in_a_process("""
        import gc
        from edged import garbage
        old = [[number] for number in range(50_000)]
        garbage.settle()
        print(gc.get_freeze_count() > 50_000, len(gc.get_objects()) < 1_000)
    """)
    assert seen == "True True"


def test_later_cycles_are_freed_without_being_asked_for() -> None:
    """Sessions and faults that hold each other do not pile up."""
    seen = in_a_process("""
        import weakref
        from edged import garbage
        garbage.settle()
        class Session: pass
        freed = []
        for number in range(100_000):
            session = Session()
            session.itself = session
            weakref.finalize(session, freed.append, number)
        print(len(freed) > 50_000)
    """)
    assert seen == "True"

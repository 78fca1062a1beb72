"""How much backlog a POST carries follows the time that the hub takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edged_cloud_sync.pace import FIRST_BATCHES, GROWTH, POST_SHARE, BacklogPace

MOST = 500


def test_a_quick_hub_gets_more_up_to_the_setting() -> None:
    pace = BacklogPace(MOST, 1.0)
    carried = []
    for _ in range(5):
        carried.append(pace.batches)
        pace.posted(pace.batches, 0.01)
    assert carried == [FIRST_BATCHES, FIRST_BATCHES * GROWTH, FIRST_BATCHES * GROWTH**2, MOST, MOST]


def test_a_slow_hub_gets_what_it_takes_in_time() -> None:
    pace = BacklogPace(MOST, 1.0)
    pace.posted(100, 2.0)
    assert pace.batches == int(100 * POST_SHARE / 2.0)


def test_it_settles_on_a_steady_hub() -> None:
    """A hub that takes 50 batches a second: no swinging between too many and too few."""
    pace = BacklogPace(MOST, 1.0)
    sizes = []
    for _ in range(10):
        sizes.append(pace.batches)
        pace.posted(pace.batches, pace.batches / 50)
    assert sizes[2:] == [20] * 8


def test_the_last_piece_of_a_backlog_teaches_nothing() -> None:
    pace = BacklogPace(MOST, 1.0)
    pace.posted(3, 0.001)
    assert pace.batches == FIRST_BATCHES


def test_a_long_way_to_the_hub_does_not_count() -> None:
    """Smaller POSTs would not be quicker there."""
    pace = BacklogPace(MOST, 1.0)
    pace.posted(0, 6.0)
    pace.posted(FIRST_BATCHES, 6.1)
    assert pace.batches == FIRST_BATCHES * GROWTH
    pace.posted(pace.batches, 6.0 + 2 * POST_SHARE)
    assert pace.batches == FIRST_BATCHES


def test_a_small_setting_is_kept() -> None:
    pace = BacklogPace(2, 1.0)
    pace.posted(2, 0.001)
    assert pace.batches == 2


@given(rate=st.floats(10, 100_000), most=st.integers(1, 1000))
def test_posts_come_to_take_about_the_share_and_the_backlog_always_moves(rate: float, most: int) -> None:
    """Against a hub that takes `rate` batches a second."""
    pace = BacklogPace(most, 1.0)
    for _ in range(20):
        pace.posted(pace.batches, pace.batches / rate)
    assert 1 <= pace.batches <= most
    assert pace.batches == 1 or pace.batches / rate <= GROWTH * POST_SHARE

"""Estimators of queue positions, by name. Bids 100: 5 (id 1) + 3 (id 2) + *1: 8 in front of us; an estimator sees 8 lots and a print, no ids."""

import pytest
from streams import Scripted, Stream, play

from tapeline.config import FillRules
from tapeline.constants import FillRule
from tapeline.errors import ConfigError

P = 10**9


def book() -> Stream:
    """Bids 100: 5 (id 1) + 3 (id 2). Asks 101: 4 (id 4)."""
    return Stream().add(1, "B", 100, 5, ts=100).add(2, "B", 100, 3).add(4, "A", 101, 4)


def left(stream: Stream, model: str, size: int = 1):
    """Fills as (time, size, rule), and what is ahead at the end, of an order to buy at 100 at 200 ns."""
    journals = play(stream.quiet(900), Scripted((200, lambda o: o.buy(100 * P, size))), rules=FillRules(queue=model))
    return [(f[0], f[4], FillRule(f[11]).name) for f in journals.fills], journals.orders[0][9]


@pytest.mark.parametrize(("model", "ahead"), [("risk_averse", 8), ("power1", 6), ("power2", 6), ("log", 6), ("front_optimistic", 4), ("exact", 8)])
def test_a_cancel_is_in_front_or_behind_as_the_model_says(model, ahead):
    """8 in front, then 8 behind, of which 4 are cancelled: all of them behind us; half in front (8 and 8: a share of ½); all in front."""
    stream = book().add(6, "B", 100, 8, ts=300).cancel(6, 4, ts=400)
    assert left(stream, model) == ([], ahead)


def test_the_powers_differ_by_how_they_weigh_the_longer_part():
    """8 in front, 4 behind, 3 cancelled: in front were 3·8/12, 3·64/80, 3·512/576 and 3·ln 9/(ln 9 + ln 5) of them."""
    stream = lambda: book().add(6, "B", 100, 4, ts=300).cancel(6, 3, ts=400)  # noqa: E731
    believed = {m: left(stream(), m)[1] for m in ("power1", "power2", "power3", "log")}
    assert believed == {"power1": 6, "power2": 6, "power3": 6, "log": 7}


def test_prints_at_our_price_use_up_what_is_in_front_and_then_fill_us():
    """8 in front and 9 printed in two trades of 5 and 4: the last lot is ours, at the end of the second event."""
    stream = book().add(6, "B", 100, 8, ts=300)
    stream.trade("A", 100, 5, ts=400, last=False).cancel(1, 5)
    stream.trade("A", 100, 4, ts=500, last=False).cancel(2, 3, last=False).cancel(6, 1)
    assert left(stream, "risk_averse") == ([(500, 1, "ESTIMATED")], 0)


def test_a_print_at_a_worse_price_fills_all_of_us():
    """One lot printed at 99 fills the order of 6 at 100; with exact queues a print without fills fills nobody."""
    stream = lambda: book().trade("A", 99, 1, ts=400)  # noqa: E731
    assert left(stream(), "power1", size=6)[0] == [(400, 6, "TRADE_THROUGH")]
    assert left(stream(), "exact", size=6)[0] == []


def test_a_print_at_a_better_price_is_not_ours():
    """8 in front, 8 behind, three lots printed at 101, and 2 leave at 100: nothing was traded at our price, so a pessimist is where it was."""
    stream = book().add(6, "B", 100, 8, ts=300).trade("A", 101, 3, ts=400, last=False).cancel(6, 2)
    assert left(stream, "risk_averse") == ([], 8)


def test_fills_behind_us_are_invisible():
    """A FILL of an order behind us, without a print: an estimator sees a decrease, and does not fill us; the exact queue does."""
    stream = lambda: book().add(6, "B", 100, 8, ts=300).execute(6, 8, ts=400)  # noqa: E731
    assert left(stream(), "risk_averse")[0] == []
    assert left(stream(), "exact")[0] == [(400, 1, "FILL_BEHIND")]


def test_unknown_models_are_refused():
    """The error lists the models."""
    with pytest.raises(ConfigError, match="front_optimistic"):
        FillRules(queue="power4")

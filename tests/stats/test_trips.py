"""Round trips, against a ledger kept fill by fill, and by hand."""

from datetime import timedelta

import pytest
from journals import Journal, instrument, row
from plain import MULTIPLIERS, random_journal

from tapeline.config import Fees


def ledger(journal: Journal, chosen: int) -> list[float]:
    """Net PnL of each round trip of a row, in the order of their ends: a position's cash, closed when it is 0 or turns around."""
    fees = journal.rows[chosen].venue.fees
    position, cash = {0: 0, 1: 0}, {0: 0.0, 1: 0.0}
    done = []
    for fill in journal.fills:
        if fill["row"] != chosen:
            continue
        place, lots = fill["instrument"], fill["size"] if fill["side"] == ord("B") else -fill["size"]
        price = fill["price"] / 1e9 * MULTIPLIERS[place]
        rate = fees.maker if fill["is_maker"] else fees.taker
        for _ in range(abs(lots)):  # lot by lot
            one = 1 if lots > 0 else -1
            cash[place] -= one * price + (rate if fees.unit == "contract" else rate * 1e-4 * abs(price))
            position[place] += one
            if position[place] == 0:
                done.append(cash[place])
                cash[place] = 0.0
    return done


@pytest.mark.parametrize("seed", range(10))
def test_round_trips_against_a_ledger(seed: int) -> None:
    """Number, mean, wins and profit factor are those of a ledger that counts lot by lot, prices below zero and positions turned around included."""
    journal = random_journal(seed)
    for line in journal.result().stats.frame.to_dicts()[:2]:
        trips = ledger(journal, line["row"])
        assert line["trades"] == len(trips)
        assert line["trade_pnl_mean"] == pytest.approx(sum(trips) / len(trips))
        assert line["win_rate"] == pytest.approx(sum(t > 0 for t in trips) / len(trips))
        losses = -sum(t for t in trips if t < 0)
        assert line["profit_factor"] == pytest.approx(sum(t for t in trips if t > 0) / losses)


def test_a_position_turned_around_by_hand() -> None:
    """Buy 1 at 10, sell 3 at 12, buy 2 at 11 of a 1-currency tick with a fee of 0.5 a lot: +2 − 1 and then +2 − 2, in 1 s and 2 s."""
    journal = Journal([instrument(grid=10**9, multiplier=1.0)], [row(fees=Fees(maker=0.5))])
    for time, lots, tick in ((0, 1, 10), (1, -3, 12), (3, 2, 11)):
        journal.fill(time, lots, tick)
    journal.sample(4, 22)
    line = journal.result().stats.frame.row(0, named=True)
    assert (line["trades"], line["trade_pnl_mean"], line["win_rate"]) == (2, 0.5, 0.5)
    assert line["trade_duration_median"] == timedelta(seconds=1.5)
    assert line["profit_factor"] is None


def test_an_open_position_is_no_trade() -> None:
    """What is not closed is not counted, and without round trips their metrics are null, their number 0."""
    journal = Journal()
    journal.fill(0, 2, 10)
    journal.fill(1, -1, 11)
    journal.sample(2, 20)
    line = journal.result().stats.frame.row(0, named=True)
    assert line["trades"] == 0
    assert [line[name] for name in ("win_rate", "profit_factor", "trade_pnl_mean", "trade_duration_median")] == [None] * 4


def test_a_trip_that_gains_nothing_is_neither_won_nor_lost() -> None:
    """Wins, and whether there is a loss to divide by, are those of whole ticks: what floats make of a sum that is 0 is neither."""
    journal = Journal([instrument(grid=10**7, multiplier=0.1)], [row()])
    for n, tick in enumerate(range(10_000, 10_400, 7)):
        for step, (lots, price) in enumerate(((1, tick), (2, tick + 3), (-3, tick + 2))):
            journal.fill(10 * n + step, -lots, price)
    journal.fill(990, 1, 10_000)
    journal.fill(991, -1, 10_001)
    journal.sample(992, 20_000)
    line = journal.result().stats.frame.row(0, named=True)
    assert (line["trades"], line["win_rate"], line["profit_factor"]) == (59, 1 / 59, None)

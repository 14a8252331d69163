"""Accounts by instrument and currency, and the invariants that every run is checked for."""

import dataclasses

import numpy as np
import polars as pl
import pytest
from journals import TICK, Journal, instrument, row

from tapeline import schema
from tapeline.columns import Columns, Turner
from tapeline.config import Fees
from tapeline.constants import Status
from tapeline.errors import InvariantError
from tapeline.invariants import AccountCheck, OrderCheck

pytestmark = pytest.mark.nojit


def columns(records: np.ndarray) -> Columns:
    """Records by field, as recorded."""
    return Turner(records, len(records)).turned(np.arange(len(records)))


def check_orders(journals: schema.Journals) -> None:
    """Check all orders against all fills."""
    check = OrderCheck(journals.fills)
    check.add_orders(columns(journals.orders))
    check.finish()


def two_currencies() -> Journal:
    """ES and NQ in dollars, DAX in euros: long 3 ES at an average, flat with a win in NQ, short 2 DAX."""
    places = [instrument(0, "ESH4"), instrument(1, "NQH4", multiplier=20.0), instrument(2, "FDAX", multiplier=25.0, currency="EUR")]
    journal = Journal(instruments=places, rows=[row(fees=Fees(maker=-0.5, taker=2.0))])
    journal.fill(1, 2, 100)
    journal.fill(2, 2, 104, maker=False)
    journal.fill(3, -1, 110)
    journal.fill(4, 5, 200, place=1)
    journal.fill(5, -5, 210, place=1, maker=False)
    journal.fill(6, -2, 300, place=2)
    for place, mark in ((0, 2 * 106), (1, 2 * 400), (2, 2 * 299)):
        journal.sample(7, mark, place=place)
    for sample, cost in zip(journal.samples, (3 * 102.0, 0.0, -600.0), strict=True):
        sample["cost"] = cost
    for order_id, size in ((1, 17),):
        journal.order(order_id, size, 17)
    return journal


def test_accounts_are_by_instrument_and_currency():
    """Average price, realised, unrealised, fees by liquidity, gross and net by hand; totals per currency, never across."""
    accounts = two_currencies().result().accounts
    es, nq, dax, dollars = accounts.iter_rows(named=True)
    tick = TICK / 1e9
    value = tick * 50
    assert (es["position"], es["average_price"], es["mark"]) == (3, 102 * tick, 106 * tick)
    assert (es["realised"], es["unrealised"]) == ((110 - 102) * value, 3 * (106 - 102) * value)
    assert (es["fees_maker"], es["fees_taker"]) == (-1.5, 4.0)
    assert (nq["position"], nq["average_price"], nq["realised"], nq["unrealised"]) == (0, None, 5 * 10 * tick * 20, 0.0)
    assert (dax["currency"], dax["unrealised"], dax["realised"]) == ("EUR", 2 * tick * 25, 0.0)
    assert (dollars["symbol"], dollars["currency"]) == (None, "USD")
    for name in ("realised", "unrealised", "fees_maker", "fees_taker", "gross", "net"):
        assert dollars[name] == es[name] + nq[name]
    assert accounts.height == 4  # the one instrument in euros is its own total
    for line in accounts.iter_rows(named=True):
        assert line["gross"] == pytest.approx(line["realised"] + line["unrealised"])
        assert line["net"] == pytest.approx(line["gross"] - line["fees_maker"] - line["fees_taker"])


def test_samples_have_realised_and_unrealised_pnl():
    """At each sample gross = realised + unrealised = cash + position × mark, and the average price is null when flat."""
    equity = two_currencies().result().equity
    assert (equity["gross"] - equity["realised"] - equity["unrealised"]).abs().max() < 1e-9
    assert equity["average_price"].is_null().to_list() == [False, True, False]


@pytest.mark.parametrize("field", ["position", "cash", "maker_lots", "taker_notional"])
def test_a_sample_that_does_not_follow_from_the_fills_is_told(field):
    """One lot, tick or notional too many in the last sample is an InvariantError that names row, instrument and both numbers."""
    journal = two_currencies()
    journals = journal.journals()
    journals.equity[field][0] += 1
    accounts = AccountCheck(len(journal.rows), journal.instruments)
    accounts.add_fills(columns(journals.fills))
    accounts.add_samples(columns(journals.equity))
    with pytest.raises(InvariantError, match=f"row 0, ESH4: the fills make {field}"):
        accounts.finish()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"filled": 16}, "fills sum to 17, the order says 16"),
        ({"size": 16}, "of 16 lots ended as FILLED with 17 filled"),
        ({"size": 18}, "of 18 lots ended as FILLED with 17 filled"),
        ({"status": int(Status.OPEN), "ahead_at_end": -2}, "-2 ahead"),
    ],
)
def test_an_order_that_does_not_follow_from_its_fills_is_told(change, words):
    """Its fills sum to what it says, no order fills more than its size, FILLED means filled, and no queue is negative."""
    journals = two_currencies().journals()
    for name, value in change.items():
        journals.orders[name][0] = value
    with pytest.raises(InvariantError, match=words):
        check_orders(journals)


def test_a_fill_without_an_order_is_told():
    """Every fill belongs to an order of its row."""
    journals = two_currencies().journals()
    stray = dataclasses.replace(journals, orders=np.zeros(0, schema.ORDERS))
    with pytest.raises(InvariantError, match="row 0, order 1"):
        check_orders(stray)


def test_rows_without_fills_have_accounts():
    """A row that never traded stands there with zeros."""
    journal = Journal()
    journal.sample(1, 2 * 100)
    assert journal.result().accounts.select(pl.col("position"), pl.col("net"), pl.col("fees_maker")).row(0) == (0, 0.0, 0.0)

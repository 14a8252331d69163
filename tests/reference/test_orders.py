"""The gateway, accounts, the market as strategies see it, and what a run records of them."""

import math

import numpy as np
import pytest
from streams import GRID, Scripted, Stream, instruments, play

from tapeline import schema
from tapeline.config import Fees, Latency, Limits, RowSpec, Venue
from tapeline.constants import IOC, MARKET, POST_ONLY, UNDEFINED_PRICE, Feature
from tapeline.errors import ConfigError
from tapeline.instruments import Instrument, Instruments
from tapeline.reference import run
from tapeline.reference.account import Account
from tapeline.reference.market import Market, View

P = GRID


def quotes() -> Stream:
    """Bids 99: 5; asks 101: 5; quiet until 900."""
    return Stream().add(1, "B", 99, 5, ts=100).add(2, "A", 101, 5).quiet(900)


def reasons(*acts, limits: Limits | None = None):
    """What is refused and why, acting at 200, 210 and so on."""
    strategy = Scripted(*((200 + 10 * i, act) for i, act in enumerate(acts)))
    play(quotes(), strategy, limits=limits)
    return [told[:3] for told in strategy.told if told[2] != "NONE"]


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda o: o.buy(100 * P, 0), "SIZE"),
        (lambda o: o.buy(100 * P + 1, 1), "PRICE"),
        (lambda o: o.buy(2**31 * P, 1), "PRICE"),
        (lambda o: o.buy(UNDEFINED_PRICE, 1), "PRICE"),
        (lambda o: o.buy(100 * P, 1, IOC | POST_ONLY), "INSTRUCTION"),
        (lambda o: o.buy(100 * P, 1, MARKET), "INSTRUCTION"),
        (lambda o: o.buy(100 * P, 6), "ORDER_SIZE_LIMIT"),
        (lambda o: o.sell_market(5), "POSITION_LIMIT"),
    ],
)
def test_the_gateway_refuses_a_new_order(act, reason):
    """Each refused order has an id, is not live, and never leaves."""
    strategy = Scripted((200, act), (210, lambda o: strategy.told.append((o.is_live(1), o.size_left(1), o.price(1)))))
    journals = play(quotes(), strategy, limits=Limits(order_size_max=5, position_max=4))
    assert strategy.told == [("REJECTED", 1, reason, 200, -1), (False, 0, 0)]
    order = journals.orders[0]
    assert (order[4:8], order[16]) == ((200, -1, -1, 200), 6)


def test_the_checks_come_in_their_order():
    """Of several faults the first one of the list is told."""
    assert reasons(lambda o: o.buy(1, 0, 17)) == [("REJECTED", 1, "SIZE")]
    assert reasons(lambda o: o.buy(1, 9, 17), limits=Limits(order_size_max=5)) == [("REJECTED", 1, "PRICE")]
    assert reasons(lambda o: o.buy(P, 9, 17), limits=Limits(order_size_max=5)) == [("REJECTED", 1, "INSTRUCTION")]


def test_the_position_limit_is_one_of_each_side():
    """Long 3, of 5 allowed: 2 more may be bought and 3 not; 8 may be sold and 9 not."""
    acts = [lambda o: o.buy(101 * P, 3), lambda o: o.buy(99 * P, 3), lambda o: o.sell(102 * P, 9), lambda o: o.buy(99 * P, 2), lambda o: o.sell(102 * P, 8)]
    assert reasons(*acts, limits=Limits(position_max=5))[1:] == [("REJECTED", 2, "POSITION_LIMIT"), ("REJECTED", 3, "POSITION_LIMIT")]


def test_the_position_limit_counts_open_orders_at_their_worst():
    """Limit 5: 3 bought and resting, a modify to 4 under way; 2 more are too many, 1 more is not; sells are counted apart."""
    acts = (lambda o: (o.buy(99 * P, 3), o.modify(1, 99 * P, 4), o.buy(99 * P, 2), o.buy(99 * P, 1), o.sell(101 * P, 5), o.modify(1, 99 * P, 5)),)
    assert reasons(*acts, limits=Limits(position_max=5)) == [("REJECTED", 2, "POSITION_LIMIT"), ("MODIFY_REJECTED", 1, "POSITION_LIMIT")]


def test_the_number_of_live_orders_is_limited():
    """Limit 2: a third is refused until one has ended."""
    acts = (lambda o: [o.buy(98 * P, 1) for _ in range(3)], lambda o: o.cancel(1), lambda o: o.buy(98 * P, 1))
    assert reasons(*acts, limits=Limits(orders_live_max=2)) == [("REJECTED", 3, "ORDERS_LIVE_LIMIT"), ("CANCELLED", 1, "REQUESTED")]


def test_requests_for_orders_that_are_not_live_or_are_being_cancelled():
    """They are refused at once, and counted against the order while it lives."""
    strategy = Scripted(
        (200, lambda o: strategy.told.append((o.cancel(7), o.modify(7, P, 1)))),
        (210, lambda o: o.buy(98 * P, 1)),
        (220, lambda o: strategy.told.append((o.cancel(1), o.cancel(1), o.modify(1, P, 1), o.is_cancelling(1)))),
    )
    journals = play(quotes(), strategy, latency=Latency(entry=5))
    assert [told[:3] for told in strategy.told] == [
        (False, False), ("CANCEL_REJECTED", 7, "UNKNOWN_ORDER"), ("MODIFY_REJECTED", 7, "UNKNOWN_ORDER"), ("ACCEPTED", 1, "NONE"),
        (True, False, False), ("CANCEL_REJECTED", 1, "CANCEL_PENDING"), ("MODIFY_REJECTED", 1, "CANCEL_PENDING"), ("CANCELLED", 1, "REQUESTED"),
    ]  # fmt: skip
    assert journals.orders[0][13] == 2


def test_what_orders_know_is_local():
    """Price as last requested, size as last accepted, and after a rejected modify the price accepted before."""
    known = []

    def look(o):
        known.append((o.price(1) // P, o.size_left(1), o.is_live(1)))

    steps = [
        (200, lambda o: (o.buy(98 * P, 3, POST_ONLY), look(o))),
        (250, lambda o: (o.modify(1, 97 * P, 2), look(o))),
        (300, look),
        (350, lambda o: (o.modify(1, 101 * P, 2), look(o))),
        (400, look),
    ]
    play(quotes(), Scripted(*steps), latency=Latency(entry=10, response=10))
    assert known == [(98, 3, True), (97, 3, True), (97, 2, True), (101, 2, True), (97, 2, True)]


def test_numpy_integers_are_taken_at_the_gateway():
    """Journals hold Python integers whatever the strategy computes with."""
    strategy = Scripted((200, lambda o: o.buy(np.int64(99 * P), np.int32(2), np.int64(0))))
    order = play(quotes(), strategy).orders[0]
    assert all(type(value) is int for value in order)


def market() -> Market:
    """A market that shows nothing yet."""
    nothing = ((UNDEFINED_PRICE, 0, 0),)
    return Market(instrument(), View(nothing, nothing, (math.nan,) * len(Feature)))


def instrument() -> Instrument:
    """Ticks of a quarter, worth 12.5."""
    return Instrument(index=0, publisher_id=1, instrument_id=1, symbol="", grid=250_000_000, tick=250_000_000, multiplier=50.0)


def test_an_account_at_average_price():
    """Buy 2 at 400 and 2 at 404 ticks, sell 3 at 410, then 3 more at 410, through zero: long at 402, short at 410."""
    account = Account(instrument(), Fees(maker=1.0, taker=2.0), market())
    account.book_fill(2, 400, is_maker=True)
    account.book_fill(2, 404, is_maker=False)
    assert (account.position, account.average_price, account.realised_pnl) == (4, 100.5, 0)
    account.book_fill(-3, 410, is_maker=True)
    assert (account.position, account.average_price, account.realised_pnl) == (1, 100.5, 3 * 8 * 12.5)
    account.book_fill(-3, 410, is_maker=True)
    assert (account.position, account.average_price, account.realised_pnl) == (-2, 102.5, 4 * 8 * 12.5)
    assert (account.cash_ticks, account.cash, account.fees) == (852, 852 * 12.5, 8 * 1.0 + 2 * 2.0)
    account.book_fill(2, 409, is_maker=True)
    assert (account.position, account.cost_ticks, account.average_price, account.unrealised_pnl) == (0, 0, 0, 0)


def test_the_account_is_marked_at_the_mid_and_pays_fees_by_notional():
    """Buy 1 at 101, mid 100: -1; a fee of 10 bps of 101."""
    seen = []

    class Marked(Scripted):
        def on_end(self, market, orders, account):
            seen.extend((account.unrealised_pnl, account.fees, account.pnl, account.position))

    play(quotes(), Marked((200, lambda o: o.buy_market(1))), fees=Fees(taker=10, unit="bps"))
    assert seen == [-1, 0.101, pytest.approx(-1.101), 1]


def test_the_market_of_a_strategy_that_declares_depth_and_features():
    """Levels by index, absent ones undefined, IndexError beyond the depth; features that were not declared are NaN."""
    seen = []

    class Deep:
        depth = 2
        features = (Feature.MID,)

        def on_book(self, market, orders, account):
            seen[:] = [market.bid(0), market.bid(1), market.ask(0), market.features[Feature.MID], market.features[Feature.SPREAD], market.tick]
            assert market[0].bid_price == market.bid_price
            for outside in (market.bid, market.ask, market.__getitem__):
                for i in (-1, 2):
                    with pytest.raises(IndexError):
                        outside(i)

    play(Stream().add(1, "B", 99, 5, ts=100).add(2, "B", 99, 1).add(3, "A", 101, 4).quiet(200), Deep())
    assert seen[:4] == [(99 * P, 6, 2), (UNDEFINED_PRICE, 0, 0), (101 * P, 4, 1), 100]
    assert (math.isnan(seen[4]), seen[5]) == (True, P)


def test_several_instruments_are_indexed_first():
    """market[i], orders[i], account[i]; what needs no instrument works without."""

    class Two:
        def __init__(self):
            self.told = []

        def on_book(self, market, orders, account):
            i = market.instrument
            if market[i].has_ask and not orders.is_live(1):
                with pytest.raises(ConfigError, match=r"orders\[0\]"):
                    orders.buy(P, 1)
                orders[i].buy(market[i].ask_price, 1)

        def on_fill(self, fill, market, orders, account):
            self.told.append((fill.instrument, market.instrument, account[fill.instrument].position, account[1 - fill.instrument].position))

    strategy = Two()
    stream = Stream().add(1, "A", 101, 5, ts=100).add(2, "A", 51, 5, ts=200, instrument=2).quiet(300).quiet(300, instrument=2)
    journals = run(stream.chunks(), instruments(several=True, only=[(1, 2), (1, 1)]), [RowSpec(strategy, Venue(), "")], 10**9)
    assert strategy.told == [(1, 1, 1, 0), (0, 0, 1, 1)]
    assert [(e[1], e[2], e[10]) for e in journals.equity] == [(1, -51, 0), (1, -101, 1)]


def test_signals_are_kept_once_per_callback():
    """The last value of each signal of a callback, stamped with its local time."""

    class Signals:
        def __init__(self):
            self._signal_mask = 0
            self._signal_values = [0.0, 0.0, 0.0]

        def on_book(self, market, orders, account):
            self._signal_values[2] = float(market.bid_size)
            self._signal_mask |= 4

    journals = play(Stream().add(1, "B", 99, 5, ts=100).add(2, "B", 99, 2).quiet(200), Signals())
    assert journals.signals == [(101, 5.0, 0, 2), (101, 7.0, 0, 2)]


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_journals_fit_their_dtypes_whatever_the_chunks(chunk):
    """Tuples are in the order of tapeline.schema; the size of the chunks changes nothing."""
    stream = quotes().execute(2, 2, ts=910).quiet(1000)

    def row():
        return RowSpec(Scripted((200, lambda o: o.buy_market(2)), (300, lambda o: o.sell(101 * P, 9))), Venue(), "")

    whole, pieces = (run(stream.chunks(size), instruments(), [row()], 100) for size in (0, chunk))
    assert whole == pieces
    for name in ("fills", "orders", "equity", "signals"):
        records = getattr(whole, name)
        array = np.array(records, dtype=getattr(schema, name.upper()))
        assert array.tolist() == list(records)
    assert whole.fills
    assert len(schema.FILLS) == len(whole.fills[0])


def test_an_instrument_may_have_a_coarser_order_tick_than_its_grid():
    """Book prices are multiples of 1, order prices of 5."""
    coarse = Instruments(describe=lambda key, i: Instrument(index=i, publisher_id=key[0], instrument_id=key[1], symbol="", grid=P, tick=5 * P))
    strategy = Scripted((200, lambda o: (o.buy(98 * P, 1), o.buy(95 * P, 1))))
    run(quotes().chunks(), coarse, [RowSpec(strategy, Venue(), "")], 10**9)
    assert [told[:3] for told in strategy.told] == [("REJECTED", 1, "PRICE"), ("ACCEPTED", 2, "NONE")]

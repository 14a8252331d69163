"""What holds for any input, however damaged: nothing breaks, chunks do not matter, rows do not see one another, the future does not reach back."""

import random
from dataclasses import replace

import pytest
from streams import GRID, SNAPSHOT, TOP_OF_BOOK, Stream, instruments

from tapeline.config import QUEUE_MODELS, Fees, FillRules, Latency, Limits, RowSpec, Venue
from tapeline.constants import IOC, POST_ONLY, Feature
from tapeline.reference import run


def damaged_stream(seed: int) -> Stream:
    """Random records of three books around a price of 100: unknown ids, missing sides, snapshots, clocks that run back."""
    rng = random.Random(seed)
    stream = Stream()
    ts = 1_000
    for _ in range(400):
        ts += rng.choice((0, 0, 1, 5, 40, -20 if rng.random() < 0.1 else 3))
        action = rng.choices("ACMRTFNx", (40, 15, 15, 0.5, 8, 12, 4, 0.5))[0]
        side, price = rng.choices("BAN", (10, 10, 1))[0], rng.choice((None, *range(96, 105)) if rng.random() < 0.1 else range(97, 104))
        if side != "N" and price is not None and rng.random() < 0.8:
            price = min(price, 100) if side == "B" else max(price, 100)
        flags = (SNAPSHOT if rng.random() < 0.03 else 0) | (TOP_OF_BOOK if rng.random() < 0.03 else 0) | rng.choice((0, 0, 0, 8, 4))
        stream.record(
            action, rng.randrange(25), side, price, rng.choice((0, 1, 2, 3, 5)) if rng.random() < 0.1 else rng.randrange(1, 6),
            ts=ts, recv=-1 if rng.random() < 0.02 else ts + rng.randrange(-2, 30), last=rng.random() < 0.8, flags=flags,
            sequence=max(1, stream.sequence - (rng.random() < 0.1)), instrument=rng.choices((1, 2, 3), (10, 4, 1))[0],
        )  # fmt: skip
    return stream


class Gambler:
    """Does something at random whenever it is called."""

    depth = 3
    features = (Feature.MID, Feature.VOLATILITY)

    def __init__(self, seed: int):
        """The same seed gambles the same way."""
        self.rng = random.Random(seed)
        self.sent = 0

    def act(self, market, orders, account):
        """Send, move or cancel an order; read everything."""
        rng, i = self.rng, self.rng.randrange(2)
        assert orders.ahead(self.sent) >= -1
        assert orders.size_left(self.sent) >= 0
        assert account[i].pnl == account[i].pnl
        price, size = rng.randrange(97, 104) * GRID, rng.randrange(1, 5)
        what = rng.random()
        if what < 0.25:
            self.sent = rng.choice((orders[i].buy, orders[i].sell))(price, size, rng.choice((0, 0, 0, IOC, POST_ONLY, IOC | POST_ONLY)))
        elif what < 0.28:
            self.sent = rng.choice((orders[i].buy_market, orders[i].sell_market))(size)
        elif what < 0.4:
            orders.modify(rng.randrange(self.sent + 2), price, size)
        elif what < 0.5:
            orders.cancel(rng.randrange(self.sent + 2))
        elif what < 0.6:
            orders.wake_at(orders.now + rng.randrange(1, 50))

    def on_book(self, market, orders, account):
        """Gamble."""
        self.act(market, orders, account)

    def on_timer(self, market, orders, account):
        """Gamble."""
        self.act(market, orders, account)

    def on_order(self, update, market, orders, account):
        """Gamble."""
        self.act(market, orders, account)

    def on_fill(self, fill, market, orders, account):
        """Gamble."""
        self.act(market, orders, account)


class Listener(Gambler):
    """Also listens to every trade and tape event."""

    depth = 1
    features = ()

    def on_trade(self, trade, market, orders, account):
        """Gamble."""
        self.act(market, orders, account)

    def on_event(self, event, market, orders, account):
        """Gamble."""
        self.act(market, orders, account)


def random_venue(seed: int) -> Venue:
    """Any rules, any latencies."""
    rng = random.Random(seed)
    flags = {name: rng.random() < 0.8 for name in ("trade_through", "crossing", "iceberg_excess")}
    flags["queue"] = rng.choice(("exact", "exact", *QUEUE_MODELS))
    impact, self_match = rng.choice(("consume", "none")), rng.choice(("cancel_resting", "cancel_aggressor", "reject"))
    latency = Latency(**{name: rng.choice((0, 1, 10, 70)) for name in ("feed", "entry", "response", "cancel")})
    limits = Limits(position_max=rng.choice((6, 1000)), orders_live_max=rng.choice((3, 64)))
    return Venue(latency=latency, fees=Fees(maker=-0.1, taker=0.3), rules=FillRules(**flags, impact=impact, self_match=self_match), limits=limits)


def play(stream: Stream, rows: list[RowSpec], chunk: int = 0):
    """Run over the first two of the books."""
    return run(stream.chunks(chunk), instruments(several=True, only=[(1, 1), (1, 2)]), rows, 100)


def of_first_row(journals):
    """What was recorded of row 0."""
    columns = {"fills": 7, "orders": 10, "equity": 9}
    return {name: [r for r in getattr(journals, name) if r[column] == 0] for name, column in columns.items()}


@pytest.mark.parametrize("seed", range(25))
def test_any_input_gives_consistent_journals(seed):
    """Positions and cash are the sums of fills; no order is filled beyond its size; chunks change nothing; nor do other rows."""
    stream = damaged_stream(seed)

    def row(kind=Gambler, other=0):
        return RowSpec(kind(seed + other), random_venue(seed + other), "")

    alone = play(stream, [row()])
    assert play(stream, [row()], chunk=7) == alone
    together = play(stream, [row(), row(Listener, 100), row(Gambler, 200)])
    assert of_first_row(together) == of_first_row(alone)
    for index in range(3):
        for book in range(2):
            fills = [f for f in together.fills if f[7] == index and f[8] == book]
            position = sum(f[4] if f[9] == ord("B") else -f[4] for f in fills)
            cash = -sum((f[4] if f[9] == ord("B") else -f[4]) * (f[3] // GRID) for f in fills)
            last = [e for e in together.equity if e[9:] == (index, book)][-1]
            assert last[1:3] == (position, cash)
            assert sum(last[4:6]) == sum(f[4] for f in fills)
    for order in together.orders:
        filled = sum(f[4] for f in together.fills if f[2] == order[0] and f[7] == order[10])
        assert order[3] == filled <= order[2]


@pytest.mark.parametrize("seed", range(10))
def test_the_future_does_not_reach_back(seed):
    """Cutting the input changes no fill that was learned of, and no order that was sent, before the cut."""
    stream = damaged_stream(seed)
    spec = RowSpec(Gambler(seed), replace(random_venue(seed), latency=Latency(feed=1, entry=1, response=1)), "")
    whole = play(stream, [spec])
    cut = Stream()
    cut.rows = stream.rows[:250]
    part = play(cut, [RowSpec(Gambler(seed), spec.venue, "")])
    end = min(part.equity[-1][0], *(row[4] for row in stream.rows[250:]))
    assert [f for f in part.fills if f[1] < end] == [f for f in whole.fills if f[1] < end]
    assert [o[:1] + o[4:5] for o in part.orders if o[4] < end] == [o[:1] + o[4:5] for o in whole.orders if o[4] < end]

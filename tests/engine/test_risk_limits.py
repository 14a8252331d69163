"""Limits on notional, orders per second and loss: both engines agree, and breaches are in the journal with their reason."""

import polars as pl
import pytest
from scripts import BUY, play, script
from streams import GRID, Stream

import tapeline as tl

SECOND = 1_000_000_000


class Buyer(tl.Strategy):
    """Takes `lots` at the first change of the book and rests some more orders; looks at every callback that it gets."""

    signals = ("called",)

    lots: tl.int64 = 2
    resting: tl.int64 = 3
    done: tl.int64
    calls: tl.int64

    def note(self):
        """One more callback."""
        self.calls += 1
        self.signal(0, self.calls)

    def on_book(self, market, orders, account):
        """Buy once, both sides being there."""
        self.note()
        if self.done == 0 and market.has_bid and market.has_ask:
            self.done = 1
            orders.buy(market.ask_price, self.lots)
            for k in range(self.resting):
                orders.buy(market.bid_price - (70 + k) * market.tick, 1)
            orders.wake_at(orders.now + 100_000_000)

    def on_order(self, update, market, orders, account):
        """Note it."""
        self.note()

    def on_fill(self, fill, market, orders, account):
        """Note it."""
        self.note()

    def on_timer(self, market, orders, account):
        """Note it, and wait for the next one."""
        self.note()
        orders.wake_at(orders.now + 100_000_000)

    def on_end(self, market, orders, account):
        """Note it."""
        self.note()


class Sender(tl.Strategy):
    """Sends an order, or a modify, at each of ten changes of the book, a tenth of a second apart."""

    modifies: tl.bool_ = False
    n: tl.int64

    def on_book(self, market, orders, account):
        """One request."""
        self.n += 1
        if self.n == 1 or not self.modifies:
            orders.buy(market.bid_price - 20 * market.tick, 1)
        else:
            orders.modify(1, market.bid_price - (20 + self.n) * market.tick, 1)


class Sized(tl.Strategy):
    """One order of some size, at a price some ticks from the bid, or at the market; on_start or later."""

    size: tl.int64 = 1
    offset: tl.int64 = 0
    at_market: tl.bool_ = False
    early: tl.bool_ = False
    sent: tl.bool_

    def send(self, market, orders):
        """Once."""
        if not self.sent:
            self.sent = True
            if self.at_market:
                orders.buy_market(self.size)
            else:
                orders.buy(100 * market.tick + self.offset * market.tick, self.size)

    def on_start(self, market, orders, account):
        """Before any mid was seen."""
        if self.early:
            self.send(market, orders)

    def on_book(self, market, orders, account):
        """After one was."""
        if market.has_ask:
            self.send(market, orders)


def falling(steps: int = 6) -> Stream:
    """A market 100 to 101 whose two sides fall by ten ticks a step, a second apart."""
    stream = Stream().add(1, "B", 100, 50, ts=SECOND).add(2, "A", 101, 50)
    for k in range(1, steps):
        stream.modify(1, "B", 100 - 10 * k, 50, ts=(k + 1) * SECOND).modify(2, "A", 101 - 10 * k, 50)
    return stream


def ticking() -> Stream:
    """A bid that grows every tenth of a second, sixteen times."""
    stream = Stream()
    for k in range(16):
        stream.add(k + 1, "B", 100, 1, ts=SECOND + k * SECOND // 10)
    return stream


def run(tmp_path, stream, *rows, **settings):
    """The result of rows, in which both engines agree."""
    return play(tmp_path, stream, *rows, multiplier=10.0, **settings)


def test_a_loss_beyond_the_limit_stops_the_row(tmp_path):
    """Two lots bought at 101 lose 2·10·(101 − mid): 210 at the mid of 90.5, beyond 200. All orders are cancelled, for that reason; nothing is called again."""
    result = run(tmp_path, falling(), Buyer(), limits=tl.Limits(loss_max=200.0), latency=tl.Latency(cancel=500))
    stop = result.stops.row(0, named=True)
    assert (stop["reason"], stop["net"], stop["limit"]) == ("loss_limit", -210.0, 200.0)
    at = result.stops["ts"].dt.epoch("ns")[0]
    assert 2 * SECOND <= at < 3 * SECOND
    assert result.orders["status"].to_list() == ["filled", *["cancelled"] * 3]
    assert result.orders["reason"].to_list() == [None, *["loss_limit"] * 3]
    assert (result.orders["ts_end"].dt.epoch("ns")[1:] - at).to_list() == [500] * 3
    assert result.signals["ts"].dt.epoch("ns").max() == at  # the bid fell first, which was told; then the ask
    assert result.equity["position"][-1] == 2  # what it holds it keeps


def test_a_loss_at_the_limit_does_not_stop_the_row(tmp_path):
    """Only more than `loss_max` does; without a limit nothing does."""
    for limits in (tl.Limits(loss_max=1010.0), tl.Limits()):  # 2·10·(101 − 50.5) at the last mid
        result = run(tmp_path, falling(), Buyer(), limits=limits)
        assert result.stops.height == 0
        assert result.equity["net"][-1] == -1010.0


def test_fees_count_as_losses(tmp_path):
    """The fill itself may be the loss: its fees are booked, then the row is stopped, before on_fill."""
    result = run(tmp_path, falling(1), Buyer(), limits=tl.Limits(loss_max=15.0), fees=tl.Fees(taker=3.0))
    assert result.stops["net"].to_list() == [-16.0]  # 6 of fees, and half a tick on two lots of 10
    assert result.orders["reason"].to_list() == [None, *["loss_limit"] * 3]


def test_a_stopped_row_leaves_others_alone(tmp_path):
    """Rows of the same class, at the same latency, with a wider limit or none, do what they do alone."""
    narrow, wide = tl.Limits(loss_max=100.0), tl.Limits(loss_max=600.0)
    alone = run(tmp_path, falling(), tl.Row(Buyer(), limits=wide))
    both = run(tmp_path, falling(), tl.Row(Buyer(), limits=narrow), tl.Row(Buyer(), limits=wide), Buyer())
    assert both.stops["row"].to_list() == [0, 1]
    ours = both.signals.filter(pl.col("row") == 1)
    assert ours.select("ts", "value").equals(alone.signals.select("ts", "value"))
    assert both.signals.filter(pl.col("row") == 2).height > ours.height


def test_the_kill_switch_passes_the_gateway(tmp_path):
    """Its cancels are not subject to the exchange's limit on messages."""
    latency = tl.Latency(entry=10, messages_max=4, messages_per="1h", messages_excess="reject")
    result = run(tmp_path, falling(), Buyer(), limits=tl.Limits(loss_max=200.0), latency=latency)
    assert result.orders["status"].to_list() == ["filled", *["cancelled"] * 3]


def test_orders_per_second_are_limited(tmp_path):
    """At most so many new orders and modifies in any second of local time; refused ones do not count, and cancels are free."""
    result = run(tmp_path, ticking(), Sender(), limits=tl.Limits(orders_per_second_max=4))
    assert [reason == "order_rate_limit" for reason in result.orders["reason"]] == [False] * 4 + [True] * 6 + [False] * 4 + [True] * 2
    result = run(tmp_path, ticking(), Sender(modifies=True), limits=tl.Limits(orders_per_second_max=4))
    assert result.orders["modifies"].to_list() == [3 + 4]
    assert result.orders["requests_refused"].to_list() == [6 + 2]


@pytest.mark.parametrize(("size", "offset", "refused"), [(2, 0, False), (2, 1, True), (3, -34, False), (3, -33, True), (1, 100, False), (1, 101, True)])
def test_notional_is_limited_at_the_requests_price(tmp_path, size, offset, refused):
    """Lots times price times multiplier (10), in currency: at most 2,000 in all that may be held."""
    result = run(tmp_path, falling(1), Sized(size=size, offset=offset), limits=tl.Limits(notional_max=2000.0))
    assert (result.orders["reason"][0] == "notional_limit") is refused


def test_market_orders_are_valued_at_the_mid(tmp_path):
    """A market order counts at the last mid seen; before there was one it is refused, since it cannot be valued."""
    at_mid = 10 * 100.5
    for notional_max, refused in ((at_mid, False), (at_mid - 1, True)):
        result = run(tmp_path, falling(1), Sized(at_market=True), limits=tl.Limits(notional_max=notional_max))
        assert (result.orders["reason"][0] == "notional_limit") is refused
    early = run(tmp_path, falling(1), Sized(at_market=True, early=True), limits=tl.Limits(notional_max=1e9))
    assert early.orders["reason"].to_list() == ["notional_limit"]
    assert run(tmp_path, falling(1), Sized(at_market=True, early=True)).orders["reason"][0] != "notional_limit"


@pytest.mark.nojit
@pytest.mark.parametrize("limits", [{"loss_max": -1.0}, {"loss_max": float("nan")}, {"notional_max": "1"}, {"orders_per_second_max": 0}, {"loss_max": True}])
def test_limits_that_make_no_sense_are_refused(limits):
    """A ConfigError names the setting."""
    with pytest.raises(tl.ConfigError, match=next(iter(limits))):
        tl.Limits(**limits)


def test_stops_are_saved_with_the_result(tmp_path):
    """What stopped a row is in its saved result, too."""
    result = run(tmp_path, falling(), Buyer(), limits=tl.Limits(loss_max=200.0))
    assert tl.Result.load(result.save(tmp_path / "run")).stops.equals(result.stops)


def test_a_position_is_worth_what_it_cost_until_a_mid_is_seen(tmp_path):
    """Asks alone at 101: 2 lots bought have lost no more than their fee, at the kill switch, in samples and in drawdowns; a bid of 91 marks them at 96."""
    stream = Stream().add(1, "A", 101, 5, ts=100).quiet(5 * SECOND).add(2, "B", 91, 5, ts=9 * SECOND).quiet(12 * SECOND)
    steps = script((200, BUY, 101 * GRID, 2))
    result = play(tmp_path, stream, steps, multiplier=50.0, fees=tl.Fees(taker=0.5), limits=tl.Limits(loss_max=600))
    assert result.equity.select("position", "cash", "mark", "unrealised", "gross", "net").rows() == [
        (2, -10_100.0, None, 0.0, 0.0, -1.0),
        (2, -10_100.0, 96.0, -500.0, -500.0, -501.0),
        (2, -10_100.0, 96.0, -500.0, -500.0, -501.0),
    ]
    assert result.stops.height == 0
    assert result.stats.frame.select("pnl_net", "drawdown_max").row(0) == (-501.0, 501.0)
    unmarked = play(tmp_path, Stream().add(1, "A", 101, 5, ts=100).quiet(5 * SECOND), steps, multiplier=50.0)
    assert unmarked.accounts.select("position", "mark", "unrealised", "gross").row(0) == (2, None, 0.0, 0.0)

"""Rule 8, latency: delays that vary, the same in both engines; what the exchange's gateway lets pass."""

import datetime as dt
import math
import statistics

import numpy as np
import polars as pl
import pytest
from scripts import agreed, play
from streams import Stream

import tapeline as tl
from tapeline.delays import DELAY_MAX_NS
from tapeline.engine.latency import Way, gamma, looked_up, new_ways, normal, seed_draws
from tapeline.jit import entry
from tapeline.reference.latency import BACK, OUT, Draws, interpolated

SETTINGS = {"tick_size": "1", "multiplier": 1.0, "instruments": [1]}
N = 2000


@entry
def draw_all(way, row, numbers, normals, gammas):
    """What the compiled engine draws for messages of a row."""
    for i in range(len(numbers)):
        seed_draws(way, row, numbers[i])
        normals[i] = normal(way)
        seed_draws(way, row, numbers[i])
        gammas[i] = gamma(way)


@entry
def look_up(way, now):
    """What the compiled engine finds between measured points."""
    return looked_up(way, now)


class Sender(tl.Strategy):
    """Sends orders far from the market, modifies and cancels them: `burst` of each at the first change of the book."""

    burst: tl.int64 = 5
    sent: tl.int64

    def on_book(self, market, orders, account):
        """Once."""
        if self.sent == 0 and market.has_bid:
            for _ in range(self.burst):
                self.sent = orders.buy(market.bid_price - 50 * market.tick, 2)
            for k in range(self.burst):
                orders.modify(k + 1, market.bid_price - 50 * market.tick, 1)
            for k in range(self.burst):
                orders.cancel(k + 1)


def quiet_stream(events: int = 200, lag: int = 7) -> Stream:
    """A bid that changes its size every 100 ns; the feed's delay is `lag`, growing by one each event."""
    stream = Stream()
    for k in range(events):
        stream.record("A", k + 1, "B", 100, 1, ts=1000 + k * 100, recv=1000 + k * 100 + lag + k)
    return stream


def run(tmp_path, *rows, stream=None, **settings):
    """The result of rows, in which both engines agree."""
    return play(tmp_path, stream or quiet_stream(), *rows, **settings)


def trips(result, column="ts_arrived", row=0):
    """Nanoseconds from sending to another time, in order of id."""
    orders = result.orders.filter(pl.col("row") == row)
    return (orders[column] - orders["ts_sent"]).dt.total_nanoseconds().to_list()


@pytest.mark.nojit
@pytest.mark.parametrize("shape", [0.2, 1.0, 7.5])
def test_draws_are_equal_in_both_engines_to_the_last_bit(shape):
    """Counter-based draws, normal and gamma, are the same numbers compiled, as plain Python and in the reference, whatever seed, row and message."""
    for seed, row in ((0, 0), (1, 0), (2**63 - 1, 5)):
        way = Way.array(1)[0]
        way.seed, way.shape = seed, shape
        numbers = np.arange(2, 2 + N)
        normals, gammas = np.zeros(N), np.zeros(N)
        draw_all(way, row, numbers, normals, gammas)
        for i, message in enumerate(numbers.tolist()):
            number, direction = message // 2, BACK if message % 2 else OUT
            assert Draws(seed, row, direction, number).normal() == normals[i]
            assert Draws(seed, row, direction, number).gamma(shape) == gammas[i]
        assert len({*normals.tolist()}) == N


@pytest.mark.nojit
def test_draws_have_their_distributions():
    """Means, deviations and medians of 10,000 draws are those of the normal and the gamma distribution (within 4 standard errors)."""
    normals = [Draws(7, 0, OUT, n).normal() for n in range(10_000)]
    assert abs(statistics.fmean(normals)) < 0.04
    assert abs(statistics.pstdev(normals) - 1) < 0.03
    for shape in (0.3, 1.0, 6.0):
        gammas = [Draws(7, 0, OUT, n).gamma(shape) for n in range(10_000)]
        assert abs(statistics.fmean(gammas) - shape) < 0.04 * math.sqrt(shape)
        assert abs(statistics.pvariance(gammas) / shape - 1) < 4 * math.sqrt((2 + 6 / shape) / 10_000)


def test_a_sampled_latency_depends_on_seed_row_and_request_alone(tmp_path):
    """Another row, or another strategy, changes no draw of the first row; another seed changes them all."""
    latency = tl.Latency(entry=tl.Delay.log_normal(median=1000, sigma=0.5, seed=3), response=tl.Delay.gamma(mean=800, shape=2.0, seed=3))
    alone = run(tmp_path, Sender(burst=9), latency=latency)
    beside = run(tmp_path, Sender(burst=9), tl.Row(Sender(burst=4), latency=tl.Latency(entry=50)), Sender(burst=9), latency=latency)
    assert trips(alone) == trips(beside)
    assert trips(beside) != trips(beside, row=2)
    other = tl.Latency(entry=tl.Delay.log_normal(median=1000, sigma=0.5, seed=4))
    assert trips(alone) != trips(run(tmp_path, Sender(burst=9), latency=other))


def test_requests_never_overtake_each_other(tmp_path):
    """Whatever is drawn, requests of one connection arrive in the order in which they were sent; answers likewise."""
    wild = tl.Delay.log_normal(median=500, sigma=1.0, seed=1)
    stream = quiet_stream(events=3000)
    result = run(tmp_path, Sender(burst=30), stream=stream, latency=tl.Latency(entry=wild, cancel=tl.Delay.gamma(mean=3, shape=0.5), response=wild))
    for column in ("ts_arrived", "ts_end", "ts_end_local"):
        assert result.orders[column].drop_nulls().is_sorted()
    assert result.orders["ts_arrived"].n_unique() > 1  # sent at once, they wait for the slowest before them


class Basket(tl.Strategy):
    """Buys in the first book at 200 and in the second at 230."""

    def on_start(self, market, orders, account):
        """Wait for 200."""
        orders.wake_at(200)

    def on_timer(self, market, orders, account):
        """Buy."""
        orders[0 if orders.now == 200 else 1].buy_market(1)
        if orders.now == 200:
            orders.wake_at(230)


@pytest.mark.parametrize("latency", [tl.Latency(entry=100, response=100), tl.Latency(entry=tl.Delay.interpolated([0], [100]), response=100)])
def test_an_answer_of_a_quiet_book_does_not_wait_for_later_ones_of_others(tmp_path, latency):
    """The second book has the next record, so that its order of 330 is executed before the quiet one's of 300; both are told 100 after their own times."""
    stream = Stream().add(1, "A", 100, 5, ts=100).add(2, "A", 100, 5, ts=110, instrument=2).add(3, "A", 101, 5, ts=1000, instrument=2).quiet(2000)
    result = agreed(stream.write(tmp_path / "case.dbn"), Basket(), tick_size="1", multiplier=1.0, instruments=[1, 2], latency=latency)
    assert result.fills.select(pl.col("ts_event", "ts_local").dt.epoch("ns")).rows() == [(300, 400), (330, 430)]


def test_a_delay_may_follow_the_feeds_own(tmp_path):
    """`Delay.from_feed` takes ts_recv - ts_event of the last record that happened, plus the shift, and never less than 0."""
    stream = quiet_stream(lag=40)
    for shift, expected in ((0, 40), (25, 65), (-30, 10), (-100, 0)):
        result = run(tmp_path, Sender(burst=1), stream=stream, latency=tl.Latency(entry=tl.Delay.from_feed(shift)))
        assert trips(result) == [expected]
    later = run(tmp_path, Sender(burst=1), stream=stream, latency=tl.Latency(feed=1000, entry=tl.Delay.from_feed()))
    assert trips(later) == [50]  # sent at 2040; the record at 2000 came 50 late


def test_a_feed_may_be_ahead_of_the_recorders(tmp_path):
    """A negative feed latency shows the market earlier than `ts_recv`, but never before it happened."""
    at = run(tmp_path, Sender(burst=1), stream=quiet_stream(lag=40), latency=tl.Latency(feed=-15)).orders["ts_sent"].dt.epoch("ns")[0]
    assert at == 1025
    at = run(tmp_path, Sender(burst=1), stream=quiet_stream(lag=40), latency=tl.Latency(feed=-500)).orders["ts_sent"].dt.epoch("ns")[0]
    assert at == 1000


def test_delays_are_interpolated_between_measured_points(tmp_path):
    """Linear between the points of a table, constant outside, by the time at which the message sets out; new, modify and cancel each by its own column."""
    assert [interpolated([10, 20, 40], [100, 200, 0], t) for t in (0, 10, 15, 20, 30, 39, 40, 99)] == [100, 100, 150, 200, 100, 10, 0, 0]
    table = pl.DataFrame({"time": [1000, 2000], "entry": [100, 300], "response": [50, 50], "cancel": [900, 900]})
    table.write_csv(tmp_path / "latency.csv")
    table.with_columns(pl.from_epoch("time", time_unit="ns"), pl.col("entry", "response", "cancel").cast(pl.Duration("ns"))).write_parquet(
        tmp_path / "latency.parquet"
    )
    latency = tl.Latency.from_table(tmp_path / "latency.csv", feed=93)
    assert latency.legs == tl.Latency.from_table(tmp_path / "latency.parquet", feed=93).legs
    table.with_columns(pl.from_epoch("time", time_unit="ns").dt.replace_time_zone("UTC")).write_csv(tmp_path / "times.csv")
    assert latency.legs == tl.Latency.from_table(tmp_path / "times.csv", feed=93).legs  # text, to the nanosecond
    result = run(tmp_path, Sender(burst=1), latency=latency)
    assert trips(result) == [120]  # sent at 1100
    assert trips(result, "ts_end") == [900]
    assert trips(result, "ts_end_local") == [950]


@pytest.mark.parametrize(
    ("times", "delays", "now"),
    [
        ([0, 49], [0, 49], 1),
        ([0, 10**9], [100_000, 150_000], 280_000),
        ([0, 84_946_491_438_553_146], [0, 440_244_520_745_172], 52_022_897_783_517_539),
        ([-(10**17), 10**17 + 3], [10**15, 7], 99_999_999_999_999_999),
    ],
)
def test_both_engines_interpolate_to_the_same_nanosecond(times, delays, now):
    """Where float64 falls just short of a whole number, and where points are further apart than it has digits, too."""
    ways, kept = new_ways(0, tl.Latency(entry=tl.Delay.interpolated(times, delays)))
    found = look_up(ways[0], np.int64(now))
    assert len(kept) > 0  # what the leg points to lives until here
    assert found == interpolated(times, delays, now)


def test_a_delay_may_be_any_column_of_a_table(tmp_path):
    """A column of any name is read; others may be text; one that is not there is told with all that are."""
    pl.DataFrame({"time": [10, 20], "order_entry": [100, 300], "host": ["a", "b"]}).write_csv(tmp_path / "x.csv")
    assert tl.Delay.table(tmp_path / "x.csv", "order_entry") == tl.Delay.interpolated([10, 20], [100, 300])
    with pytest.raises(tl.ConfigError, match="no column entry; it has time, order_entry, host"):
        tl.Delay.table(tmp_path / "x.csv", "entry")


def test_the_gateway_makes_messages_wait(tmp_path):
    """At most `messages_max` requests pass in any time of length `messages_per`: further ones wait their turn, in order."""
    latency = tl.Latency(entry=10, messages_max=2, messages_per=100)
    result = run(tmp_path, Sender(burst=3), latency=latency)
    assert trips(result) == [10, 10, 110]  # then a modify at 110, two at 210, the cancels at 310, 310 and 410
    assert trips(result, "ts_end") == [310, 310, 410]


def test_the_gateway_may_refuse_messages(tmp_path):
    """With messages_excess="reject" they are refused on arrival, with a reason, and do not count."""
    latency = tl.Latency(entry=10, response=5, messages_max=4, messages_per=100, messages_excess="reject")
    result = run(tmp_path, Sender(burst=3), latency=latency)
    assert result.orders["status"].to_list() == ["open", "open", "open"]
    assert result.orders["requests_refused"].to_list() == [1, 2, 2]  # of three modifies the first passes, and no cancel
    result = run(tmp_path, Sender(burst=6), latency=latency)
    assert result.orders["reason"].to_list() == [None] * 4 + ["message_rate"] * 2
    assert trips(result, "ts_end_local")[4:] == [15, 15]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: tl.Delay.log_normal(median="0us", sigma=1.0), "median"),
        (lambda _: tl.Delay.gamma(mean="1us", shape=math.inf), "shape"),
        (lambda _: tl.Delay.gamma(mean="1us", shape=1.0, seed=-1), "seed"),
        (lambda _: tl.Delay.interpolated([1, 1], [5, 5]), "not after"),
        (lambda _: tl.Delay.interpolated([1, 2], [5, -5]), "-5 ns"),
        (lambda _: tl.Delay.interpolated([], []), "one at least"),
        (lambda _: tl.Delay.from_feed("-5"), "from_feed"),
        (lambda _: tl.Latency(entry="-5us"), "entry"),
        (lambda _: tl.Latency(messages_max=0), "messages_max"),
        (lambda _: tl.Latency(messages_excess="drop"), "messages_excess"),
        (lambda p: tl.Latency.from_table(p / "no.csv"), "no.csv"),
        (lambda p: tl.Latency.from_table(p / "no.txt"), "parquet"),
        (lambda p: tl.Latency.from_table(p / "half.csv"), "response"),
        (lambda p: tl.Latency.from_table(p / "floats.csv"), "whole nanoseconds"),
        (lambda p: tl.Latency.from_table(p / "words.csv"), "column time is String with 1 absent values: expected whole nanoseconds, or timestamps"),
    ],
)
def test_delays_that_make_no_sense_are_refused(tmp_path, make, words):
    """A ConfigError names the setting, or the file and column."""
    (tmp_path / "half.csv").write_text("time,entry\n1,2\n")
    (tmp_path / "floats.csv").write_text("time,entry,response\n1,2.5,3\n")
    (tmp_path / "words.csv").write_text("time,entry,response\nsoon,2,3\n")
    with pytest.raises(tl.ConfigError, match=words):
        make(tmp_path)


@pytest.mark.nojit
def test_absurd_distributions_stay_on_the_clock():
    """Delays of the widest distributions are cut off, and none is negative."""
    for delay in (tl.Delay.log_normal(median="1h", sigma=1e6), tl.Delay.gamma(mean="1000h", shape=1e-6), tl.Delay.gamma(mean="1000h", shape=1e6)):
        for n in range(50):
            drawn = Draws(0, 0, OUT, n).gamma(delay.shape) if delay.model == "gamma" else 1.0
            assert drawn * delay.scale_ns >= 0
        ways, _ = new_ways(0, tl.Latency(entry=delay))
        assert ways[0].shape == delay.shape
    assert DELAY_MAX_NS < 2**62


def test_manifests_name_the_table(tmp_path):
    """A measured table stands in the manifest by file, size and hash, not by its points."""
    pl.DataFrame({"time": [dt.datetime(2024, 1, 1, tzinfo=dt.UTC)], "entry": [5], "response": [6]}).write_parquet(tmp_path / "t.parquet")
    result = run(tmp_path, Sender(), latency=tl.Latency.from_table(tmp_path / "t.parquet"))
    assert "t.parquet, column entry: 1 points, sha256" in str(result.manifest["settings"])


def test_the_feed_may_be_timed_by_sending(tmp_path):
    """A change sent 7 ns before the recorder had it, at 130: it is seen at 130 + feed, or at 123 + feed; a latency that follows the feed's, too."""
    stream = Stream().add(1, "B", 100, 5, ts=100).add(2, "A", 101, 5, ts=110, recv=130, in_delta=7).quiet(900)
    path = stream.write(tmp_path / "x.dbn")
    for feed_time, seen, arrived in (("received", 140, 160), ("sent", 133, 146)):
        settings = SETTINGS | {"latency": tl.Latency(feed=10, entry=tl.Delay.from_feed()), "feed_time": feed_time}
        results = [tl.Backtest(path, engine=engine, **settings).run(OneOrder()) for engine in ("compiled", "reference")]
        for result in results:
            assert result.orders.select(pl.col("ts_sent", "ts_arrived").to_physical()).row(0) == (seen, arrived)


def test_tapes_keep_the_time_they_were_made_with(tmp_path):
    """A tape made with times of sending runs with them; another setting is refused, as is one that is none."""
    path = Stream().add(1, "B", 100, 5, ts=100, recv=130, in_delta=7).quiet(900).write(tmp_path / "x.dbn")
    tl.write_tape(path, tmp_path / "x.tape", tick_size="1", feed_time="sent")
    from_tape, from_dbn = (tl.Backtest(tmp_path / "x.tape", **SETTINGS), tl.Backtest(path, feed_time="sent", **SETTINGS))
    assert from_tape.run(OneOrder()).orders.equals(from_dbn.run(OneOrder()).orders)
    with pytest.raises(tl.ConfigError, match="feed_time='sent'"):
        tl.Backtest(tmp_path / "x.tape", feed_time="received", **SETTINGS).run(OneOrder())
    with pytest.raises(tl.ConfigError, match="expected 'received' or 'sent'"):
        tl.Backtest(path, feed_time="seen", **SETTINGS).run(OneOrder())


class OneOrder(tl.Strategy):
    """Buys when it sees somebody."""

    id: tl.int64

    def on_book(self, market, orders, account):
        """Once."""
        if self.id == 0 and market.has_ask:
            self.id = orders.buy(market.ask_price, 1)

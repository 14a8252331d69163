"""The life of an order, told from the run's data."""

import dataclasses
from pathlib import Path

import polars as pl
import pytest
from command_line import invoke
from scripts import BUY, BUY_MARKET, CANCEL, MODIFY, SELL_STOP_LIMIT, play, script
from streams import SNAPSHOT, Stream

import tapeline as tl
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.load import load_strategy

MAKER = f"{Path(__file__).resolve().parents[2] / 'examples' / 'touch_maker.py'}:TouchMaker"
P = 10**9


class OneOrder(tl.Strategy):
    """One order to buy at 100, at 200 ns; cancelled at 700."""

    sent: tl.int64

    def on_start(self, market, orders, account):
        """Wait."""
        orders.wake_at(200)

    def on_timer(self, market, orders, account):
        """Send, then cancel."""
        if self.sent == 0:
            self.sent = orders.buy(100_000_000_000, 2)
            orders.wake_at(700)
        else:
            orders.cancel(self.sent)


@pytest.fixture
def run(tmp_path):
    """Bids 100: 5 (id 1) + 3 (id 2) + *2. Id 2 cancels 1; id 1 is filled; an order behind joins, and fills one of ours; the rest is cancelled."""
    stream = Stream().add(1, "B", 100, 5, ts=100).add(2, "B", 100, 3).add(4, "A", 101, 4).cancel(2, 1, ts=300)
    stream.execute(1, 5, ts=400).add(6, "B", 100, 9, ts=450).execute(6, 1, ts=500).quiet(900)
    path = stream.write(tmp_path / "x.dbn", symbols={1: "ONE"})
    return tl.Backtest(path, tick_size="1", multiplier=1.0).run(OneOrder(), tl.Row(OneOrder(), rules=tl.FillRules(queue="log"), label="guessing"))


def test_a_life_is_told_step_by_step(run):
    """8 in front at arrival: one goes by a cancel, 5 by a fill, and 2 are left; a fill behind is rule 2's; then the cancel."""
    life = run.explain(1, "OneOrder")
    assert life.untold == ""
    assert life.steps.select("what", "size", "ahead").rows() == [("cancel ahead", -1, 7), ("fill ahead", -5, 2)]
    assert life.fell_by == {"cancel ahead": 1, "fill ahead": 5}
    story = repr(life)
    for part in (
        "8 lots in front of it",
        "filled 1 at 100, 1 left: rule 2",
        "cancelled: requested",
        "of the 8 lots in front of it, 1 went by cancels ahead and 5 by fills ahead",
        "1 of 2 was not filled: 2 lots were still in front of it",
        "2 lots",
    ):
        assert part in story
    dear = dataclasses.replace(life, order={**life.order, "price": 123456.75}, fills=life.fills.with_columns(price=pl.lit(123456.75)))
    assert "buy 2 ONE at 123456.75, " in repr(dear)
    assert "filled 1 at 123456.75, 1 left" in repr(dear)


def test_an_order_that_damage_left_open_is_told_of(tmp_path):
    """The data of a run that damage has ended is read up to there again: what was in front of an order by then is told."""
    stream = Stream().add(1, "B", 100, 5, ts=100).add(2, "B", 100, 3).add(4, "A", 101, 4).cancel(2, 1, ts=300).quiet(600)
    path = stream.write(tmp_path / "x.dbn", symbols={1: "ONE"})
    with path.open("ab") as file:
        file.write(b"\x0e\xa0")
    with pytest.raises(tl.DataError, match="truncated") as damage:
        tl.Backtest(path, tick_size="1", multiplier=1.0).run(OneOrder())
    life = damage.value.result.explain(1)
    assert life.order["status"] == "open"
    assert (life.steps["what"].to_list(), life.steps["ahead"].to_list(), life.untold) == (["cancel ahead"], [7], "")


def test_what_cannot_be_told_says_so(run):
    """A guessed place has no true path; two strategies with that number need a name; an order that never was is an error."""
    assert "queue='log'" in run.explain(1, "guessing").untold
    with pytest.raises(tl.ConfigError, match=r"several strategies have .*: name one, strategy= \(--strategy\)"):
        run.explain(1)
    with pytest.raises(tl.ConfigError, match="order '1': expected the number of an order"):
        run.explain("1")
    with pytest.raises(tl.ConfigError, match="no such order"):
        run.explain(99)


def test_an_order_that_never_rested_has_no_queue_to_be_told_of(tmp_path):
    """Of a market order, and of one that is refused, nothing is left untold, though the queue is guessed: it was said to come to rest when it was triggered."""
    for explains in (False, True):
        result = play(tmp_path, stream().quiet(900), script((200, BUY_MARKET, 1), (300, BUY, 100 * P, 0)), explain=explains, rules=tl.FillRules(queue="log"))
        assert result.orders["status"].to_list() == ["filled", "rejected"]
        assert [result.explain(order).untold for order in (1, 2)] == ["", ""]


class OnTheSecond(tl.Strategy):
    """One order to buy at 100 on the second instrument, with its first event."""

    sent: tl.int64

    def on_event(self, event, market, orders, account):
        """Send it."""
        if market.instrument == 1 and self.sent == 0:
            self.sent = orders[1].buy(100 * P, 1)


def test_the_life_is_that_of_the_orders_own_instrument(tmp_path):
    """Of two venues that number their instruments alike, the queue is that of the order's venue: 7 lots are in front of it, and 3 go; at the other it is 5."""
    made = Stream().add(1, "B", 100, 5, ts=100, publisher=1).add(2, "B", 100, 7, ts=150, publisher=2).cancel(2, 3, ts=300, publisher=2).quiet(900)
    path = made.write(tmp_path / "x.dbn", symbols={1: "ONE"})
    result = tl.Backtest(path, tick_size="1", multiplier=1.0, instruments=[(1, 1), (2, 1)]).run(OnTheSecond())
    assert result.orders["symbol"].to_list() == ["ONE@2"]
    life = result.explain(1)
    assert life.untold == ""
    assert life.steps.select("what", "size", "ahead").rows() == [("cancel ahead", -3, 4)]
    assert result.observed.missing is None  # its statistics find the data by the same names


def test_the_command_tells_it_from_a_saved_run(run, tmp_path):
    """`tapeline explain RUN ORDER` prints the story, or JSON."""
    run.save(tmp_path / "run")
    done = invoke("explain", tmp_path / "run", 1, "--strategy", "OneOrder")
    assert done.exit_code == 0, done.output
    assert "fill ahead -5: 2 in front" in done.output
    done = invoke("explain", tmp_path / "run", 1, "--strategy", "OneOrder", "--json")
    assert '"fell_by"' in done.output


def stream():
    """As `run`'s, with an order in front that comes back in a snapshot."""
    made = Stream().add(1, "B", 100, 5, ts=100).add(2, "B", 100, 3).add(4, "A", 101, 4).cancel(2, 1, ts=300)
    return made.execute(1, 5, ts=400).add(6, "B", 100, 9, ts=450).execute(6, 1, ts=500)


def told(path, made, *steps, **settings):
    """The run of a script with explain=True, once both engines have agreed on all that it records."""
    return play(path, made.quiet(900), script(*steps), explain=True, **settings)


def test_a_run_may_keep_what_there_is_to_tell(tmp_path):
    """With explain=True the same story comes from the journal, and no data is read."""
    result = told(tmp_path, stream(), (200, BUY, 100 * P, 2), (700, CANCEL, 1))
    (tmp_path / "case.dbn").unlink()
    life = result.explain(1)
    assert life.untold == ""
    assert life.steps.select("what", "size", "ahead").rows() == [("cancel ahead", -1, 7), ("fill ahead", -5, 2)]
    assert "1 went by cancels ahead and 5 by fills ahead" in repr(life)
    result.save(tmp_path / "run")
    assert tl.Result.load(tmp_path / "run").explain(1).steps.equals(life.steps)


def test_places_anew_are_told(tmp_path):
    """A modify to 99 and back to 100, behind what is there by then; a stop that is triggered, and rests at its limit."""
    made = Stream().add(1, "B", 100, 5, ts=100).add(2, "B", 99, 3).add(4, "A", 101, 4).cancel(2, 1, ts=400).cancel(1, 2, ts=600)
    life = told(tmp_path, made, (200, BUY, 100 * P, 2), (300, MODIFY, 1, 99 * P, 2), (500, MODIFY, 1, 100 * P, 2)).explain(1)
    assert life.steps.select("what", "size", "ahead").rows() == [
        ("placed anew at 99", 0, 3), ("cancel ahead", -1, 2), ("placed anew at 100", 0, 5), ("cancel ahead", -2, 3),
    ]  # fmt: skip
    assert "placed anew at 99: 3 in front" in repr(life)
    assert "buy 2 I1 at 100, GTC, as modified 2 times" in repr(life)
    assert "arrived at 100, 5 lots in front of it" in repr(life)
    assert "at all its places, 3 went by cancels ahead" in repr(life)
    made = Stream().add(1, "B", 100, 5, ts=100).add(4, "A", 101, 4).trade("A", 99, 1, ts=300).cancel(1, 2, ts=600)
    life = told(tmp_path, made, (200, SELL_STOP_LIMIT, 99 * P, 101 * P, 2)).explain(1)
    assert "sell 2 I1 stop 99, at 101, GTC" in repr(life)
    assert "arrived, to wait for its stop price" in repr(life)
    assert "triggered, 4 in front" in repr(life)


def test_lost_books_and_guesses_are_told(tmp_path):
    """A gap puts an order behind everything; an estimator's place is told with the word that it is a guess."""
    made = Stream().add(1, "B", 100, 5, ts=100).add(4, "A", 101, 4).quiet(250).clear(ts=300, flags=SNAPSHOT, last=False)
    made.add(11, "B", 100, 7, flags=SNAPSHOT, last=False).add(12, "A", 101, 6, flags=SNAPSHOT).quiet(400)
    life = told(tmp_path, made, (200, BUY, 100 * P, 2)).explain(1)
    assert life.steps.select("what", "size", "ahead").rows() == [("clear", -5, 0), ("book lost, behind everything", 7, 7)]
    life = told(tmp_path, stream(), (200, BUY, 100 * P, 2), rules=tl.FillRules(queue="front_optimistic")).explain(1)
    assert "queue='front_optimistic'" in life.untold
    assert life.steps["what"].unique().to_list() == ["guessed anew"]


def test_the_journal_tells_what_the_data_tells(tmp_path):
    """For the orders of a market maker in a simulated session, steps from the journal and steps found in the data are the same, one by one."""
    path = tmp_path / "x.dbn"
    write_synth(path, SynthConfig(records=20_000, live_orders=2_000, partial_cancel_share=0.1, iceberg_share=0.03, gap_scale=0.05))
    run = tl.Backtest(path, tick_size="0.25", multiplier=1.0, explain=True).run(load_strategy(MAKER)(position_max=100))
    from_data = dataclasses.replace(run, manifest=run.manifest | {"settings": run.manifest["settings"] | {"explain": False}})
    rested = run.orders.filter(pl.col("ahead_at_entry").is_not_null())["order_id"].to_list()
    lines = 0
    for order_id in rested[:: max(1, len(rested) // 40)]:
        life = run.explain(order_id)
        lines += life.steps.height
        assert life.steps.equals(from_data.explain(order_id).steps)
    assert lines > 40


def test_every_queue_that_is_told_ends_where_the_engines_ended(tmp_path):
    """For 40 orders of a market maker in a simulated session, the path found in the data ends with the engine's own queue ahead."""
    path = tmp_path / "x.dbn"
    write_synth(path, SynthConfig(records=20_000, live_orders=2_000, partial_cancel_share=0.1, iceberg_share=0.03, gap_scale=0.05))
    result = tl.Backtest(path, tick_size="0.25", multiplier=1.0).run(load_strategy(MAKER)(position_max=100))
    rested = result.orders.filter(pl.col("ahead_at_entry").is_not_null())["order_id"].to_list()
    lives = [result.explain(order_id) for order_id in rested[:: max(1, len(rested) // 40)]]
    assert [life.untold for life in lives] == [""] * len(lives)
    assert sum(life.steps.height for life in lives) > 40
    assert sum(life.fills.height for life in lives) > 3

"""Our orders in the book of `tapeline view`: their place in the queue is the journal's and explain's at every time."""

import random
from pathlib import Path

import polars as pl
import pytest
from command_line import MAKER
from journals import START, Journal, instrument

import tapeline as tl
from tapeline.backtest import Backtest
from tapeline.constants import Status
from tapeline.errors import ConfigError
from tapeline.lives import _Path
from tapeline.load import load_strategy
from tapeline.market.follow import OWN_MAX
from tapeline.result import Result
from tapeline.viewer.own import OwnOrders
from tapeline.viewer.session import Session, _own
from tapeline.viewer.view import opened


def rested(result: Result, label: str) -> pl.DataFrame:
    """The orders of a strategy that stood in the book for some time; times in ns."""
    orders = result.orders.filter((pl.col("strategy").cast(pl.String) == label) & pl.col("ahead_at_entry").is_not_null())
    return orders.with_columns(pl.col("ts_arrived", "ts_end").to_physical()).filter(pl.col("ts_end") > pl.col("ts_arrived"))


def shown(session: Session, order: dict, ts: int) -> dict:
    """An order as the page shows it at a time."""
    mine = [line for line in session.at_time(0, ts)["own"] if (line["row"], line["order_id"]) == (order["row"], order["order_id"])]
    assert len(mine) == 1, (order, ts)
    return mine[0]


def test_places_in_the_queue_are_those_that_explain_tells(session: Session, result: Result) -> None:
    """At arrival, at each change of the queue in front of it and at any time between, lots ahead are those of the journal and explain; lots left the fills'."""
    rng = random.Random(1)
    orders = rested(result, "exact")
    told = 0
    for order in orders.sample(40, seed=1).to_dicts():
        life = result.explain(order["order_id"], "exact")
        assert life.untold == ""
        steps = [(order["ts_arrived"], order["ahead_at_entry"]), *zip(life.steps["ts_event"].to_physical(), life.steps["ahead"], strict=True)]
        fills = list(zip(life.fills["ts_event"].to_physical(), life.fills["size_left"], strict=True))
        for ts in {order["ts_arrived"], *(rng.randrange(order["ts_arrived"], order["ts_end"]) for _ in range(5)), *(ts for ts, _ in steps[:5])}:
            if ts >= order["ts_end"]:
                continue
            line = shown(session, order, ts)
            assert line["ahead"] == [ahead for at, ahead in steps if at <= ts][-1]
            assert line["left"] == ([left for at, left in fills if at <= ts] or [order["size"]])[-1]
            told += line["ahead"] != order["ahead_at_entry"]
    assert told > 20


def test_orders_are_gone_when_they_have_ended(session: Session, result: Result) -> None:
    """At the end of its life an order is not in the book any more; what is said of it as a whole is its line of the journal."""
    for order in rested(result, "exact").sample(20, seed=2).to_dicts():
        scene = session.at_time(0, order["ts_end"])
        assert (order["row"], order["order_id"]) not in {(line["row"], line["order_id"]) for line in scene["own"]}
        found = session.go(0, 0, f"order exact {order['order_id']}")
        assert int(found["now"]) == order["ts_arrived"]
        assert found["order"]["status"] == order["status"]
        assert found["order"]["ahead_at_end"] == order["ahead_at_end"]


def test_a_guessed_place_is_not_known(session: Session, result: Result) -> None:
    """Where a run guessed the queue, the order stands in the book, and lots ahead are null."""
    order = rested(result, "guessed").to_dicts()[0]
    assert shown(session, order, order["ts_arrived"])["ahead"] is None


def test_fills_are_found_one_after_the_other(session: Session, result: Result) -> None:
    """Next and previous lead from time to time of the fills, and there is an end; what the last fills were is on the scene."""
    times = sorted(set(result.fills["ts_event"].to_physical().to_list()))
    scene = session.at_event(0, 1)
    for ts in times[:40]:
        scene = session.find(0, (scene["event"], int(scene["now"])), "next_fill")
        assert int(scene["now"]) == ts
        last = result.fills.filter(pl.col("ts_event").to_physical() <= ts).sort("ts_event", maintain_order=True)
        assert scene["fills"][0]["order_id"] in last.filter(pl.col("ts_event").to_physical() == ts)["order_id"].to_list()
        assert scene["fills"][0]["number"] == last.height - 1
    back = session.find(0, (scene["event"], int(scene["now"])), "previous_fill")
    assert int(back["now"]) == times[38]
    with pytest.raises(ConfigError, match="no next fill"):
        session.find(0, (1, times[-1]), "next_fill")


def test_trades_are_found_one_after_the_other(session: Session) -> None:
    """Next and previous trade lead to the events with one, none left out."""
    scene, events = session.at_event(0, 1), []
    for _ in range(30):
        scene = session.find(0, (scene["event"], int(scene["now"])), "next_trade")
        assert scene["trades"][0]["event"] == scene["event"]
        events.append(scene["event"])
    assert events == sorted(set(events))
    listed = sorted({trade["event"] for trade in scene["trades"]})
    assert listed[-10:] == events[-10:]
    assert session.find(0, (scene["event"], 0), "previous_trade")["event"] == events[-2]


def test_one_strategy_may_be_chosen(run: Path) -> None:
    """`--strategy` shows that strategy's orders and fills only; a label that is not there is refused with those that are."""
    with opened([run], "guessed", {}) as session:
        assert session.describe()["run"]["strategies"] == ["guessed"]
        assert set(session.own.orders["strategy"]) == {"guessed"}
    with pytest.raises(ConfigError, match=r"--strategy nobody.*exact, guessed"), opened([run], "nobody", {}):
        pass


def test_too_many_orders_at_a_time_are_refused(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than can be followed is an error that names the option to choose with; nothing is left out silently."""
    monkeypatch.setattr("tapeline.viewer.own.OWN_MAX", 2)
    with pytest.raises(ConfigError, match="--strategy LABEL"):
        OwnOrders(result)
    assert OWN_MAX > 2


def test_a_run_is_pathson_its_own_data(run: Path, data: Path, tmp_path: Path) -> None:
    """Data that the run was not made on, two runs, settings that are the run's, and `--strategy` without a run are refused."""
    other = tmp_path / "other.dbn"
    other.write_bytes(data.read_bytes()[:-56])
    cases = [
        ([other, run], None, {}, "was run on other data"),
        ([data, run], None, {"tick_size": "0.5"}, "--tick-size"),
        ([data], "exact", {}, "--strategy"),
        ([run, data, tmp_path], None, {}, "one run"),
    ]
    for paths, strategy, settings, message in cases:
        with pytest.raises(ConfigError, match=message), opened(paths, strategy, settings):
            pass
    with opened([data, run], None, {}) as session:
        assert session.title == f"{data.name} · {run.name}"


def test_data_of_any_kind_show_the_same(data: Path, tmp_path: Path) -> None:
    """A tape, and two files in order, are shown event by event as tapeline.features has them."""
    tape = tmp_path / "day.tape"
    tl.write_tape(data, tape, tick_size="0.25")
    second = tmp_path / "second.dbn"
    later = tl.feeds.synth.SynthConfig.start_ns + 24 * 3_600_000_000_000
    tl.feeds.synth.write_synth(second, tl.feeds.synth.SynthConfig(records=2_000, live_orders=300, seed=9, instruments=2, start_ns=later))
    settings = {"tick_size": "0.25"}
    scenes = []
    for paths in ([data], [tape]):
        with opened(paths, None, {} if paths[0] == tape else settings) as session:
            session.index._thread.join()
            scenes.append([session.at_event(0, event) for event in (1, 50, 9_999)])
    assert scenes[0] == scenes[1]
    with opened([data, second], None, settings) as session:
        session.index._thread.join()
        counts = tl.features([data, second], **settings).group_by("publisher_id", "instrument_id", maintain_order=True).len()["len"].to_list()
        assert list(session.index.reach.events) == counts
        assert len(counts) >= 2


def test_damage_ends_the_index_and_is_told(data: Path, tmp_path: Path) -> None:
    """Everything before the damage can be looked at, and the page is told why there is no more."""
    cut = tmp_path / "cut.dbn"
    cut.write_bytes(data.read_bytes()[:-20])
    with opened([cut], None, {"tick_size": "0.25"}) as session:
        session.index._thread.join()
        assert "truncated" in session.describe()["progress"]["problem"]
        assert session.at_event(0, 2**40)["event"] == session.index.reach.events[0] > 1_000


class Mover(tl.Strategy):
    """One order to buy, moved a tick up or down every 20 seconds."""

    sent: tl.int64
    moves: tl.int64

    def on_start(self, market, orders, account):
        """Wait for the market."""
        orders.wake_at(orders.now + 5_000_000_000)

    def on_timer(self, market, orders, account):
        """Send, or move."""
        price = market.bid_price - market.tick * (1 + self.moves % 2)
        if orders.is_live(self.sent):
            orders.modify(self.sent, price, 5)
        else:
            self.sent = orders.buy(price, 5)
        self.moves += 1
        orders.wake_at(orders.now + 20_000_000_000)


def test_what_a_run_has_journalled_is_shown(data: Path, tmp_path: Path) -> None:
    """Of a run with explain=True, modified orders stand at the price that they had at that time, with the lots ahead that the journal has."""
    backtest = tl.Backtest(data, tick_size="0.25", multiplier=50, explain=True)
    result = backtest.run(Mover())
    directory = result.save(tmp_path / "mover")
    order = result.orders.sort("modifies").with_columns(pl.col("ts_arrived", "ts_end").to_physical()).to_dicts()[-1]
    assert order["modifies"] > 3
    steps = result.steps.filter(pl.col("order_id") == order["order_id"]).with_columns(pl.col("ts_event").to_physical(), pl.col("price").forward_fill())
    rng = random.Random(4)
    prices = set()
    with opened([directory], None, {}) as session:
        session.index._thread.join()
        for ts in (rng.randrange(order["ts_arrived"], order["ts_end"] or steps["ts_event"][-1]) for _ in range(60)):
            now = steps.filter(pl.col("ts_event") <= ts).row(-1, named=True)
            line = shown(session, order, ts)
            assert (line["price"], line["ahead"]) == (now["price"], now["ahead"])
            assert line["tick"] == round(now["price"] * 4)
            prices.add(line["price"])
    assert len(prices) > 2


def test_ticks_of_large_prices_are_their_own() -> None:
    """An order at 17,464,845.38 stands on that tick, and not on the one below: its price times 1e9 has more digits than a float."""
    tick, grid = 1_746_484_538, 10_000_000
    journal = Journal([instrument(grid=grid)])
    journal.order(1, status=Status.CANCELLED, price=tick * grid, ts_end=START + 9)
    result = journal.result(instruments=[{"grid": grid}], settings={})
    own = OwnOrders(result)
    assert own.tables[0]["level"].tolist() == [tick]
    assert _own({**own.orders.row(0, named=True), "since": START}, instrument(grid=grid), START)["tick"] == tick
    assert _Path(result, result.orders)._level == tick


def test_what_a_window_left_open_ends_with_it(data: Path, tmp_path: Path) -> None:
    """Of a run with an end the whole session is shown; an order that it left open stands in the book up to there, and no further."""
    backtest, maker = {"tick_size": "0.25", "multiplier": 50}, load_strategy(MAKER)
    lives = Backtest(data, **backtest).run(maker(size=3)).orders.filter(pl.col("ahead_at_entry").is_not_null() & pl.col("ts_end").is_not_null())
    order = lives.with_columns(pl.col("ts_arrived", "ts_end").to_physical()).sort(pl.col("ts_end") - pl.col("ts_arrived"))[-1].to_dicts()[0]
    middle = (order["ts_arrived"] + order["ts_end"]) // 2
    saved = Backtest(data, **backtest, end=middle).run(maker(size=3)).save(tmp_path / "run")
    with opened([saved], None, {}) as session:
        session.index._thread.join()
        before, behind = (session.at_time(0, ts)["own"] for ts in (middle - 1, middle + 1))
        last = int(session.at_event(0, 10**9)["now"])
    assert order["order_id"] in [line["order_id"] for line in before]
    assert behind == []
    assert last > middle

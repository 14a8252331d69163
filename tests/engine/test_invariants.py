"""What every result satisfies, whatever happened: computed anew from fills alone."""

import polars as pl
import pytest
from duels import Case, with_program
from programs import Quoter

import tapeline as tl

SEEDS = [*range(100, 118)]


@pytest.fixture(params=SEEDS)
def case_and_result(request, tmp_path):
    """A random run of the compiled engine."""
    case = Case.seeded(request.param)
    return case, case.run(case.stream().write(tmp_path / "x.dbn"), "compiled")


def signed(fills):
    """Lots with their sign."""
    return fills["size"] * (1 - 2 * (fills["side"].cast(pl.String) == "sell").cast(pl.Int64))


def test_accounts_are_sums_of_fills(case_and_result):
    """At the end, position, cash, lots, notional and fees of every row and instrument are the sums over its fills; `position` of a fill is the sum so far."""
    case, result = case_and_result
    ends = result.equity.group_by("row", "instrument_id", maintain_order=True).last()
    assert ends.height == len(case.rows()) * len(case.settings["instruments"])
    for end in ends.iter_rows(named=True):
        fills = result.fills.filter((pl.col("row") == end["row"]) & (pl.col("instrument_id") == end["instrument_id"]))
        lots = signed(fills)
        assert fills["position"].to_list() == lots.cum_sum().to_list()
        assert end["position"] == lots.sum()
        assert end["cash"] == pytest.approx(-(lots * fills["price"]).sum() * case.settings["multiplier"])
        assert end["fees"] == pytest.approx(fills["fee"].sum())
        for kind, chosen in (("maker", fills.filter("is_maker")), ("taker", fills.filter(~pl.col("is_maker")))):
            assert end[f"{kind}_lots"] == chosen["size"].sum()
            assert end[f"{kind}_notional"] == pytest.approx(chosen["notional"].sum())


def test_orders_are_numbered_and_fills_belong_to_them(case_and_result):
    """Orders of a row are 1, 2, 3, …, each once; an order's fills sum to its `filled`, which its size holds; FILLED says that nothing is left."""
    _, result = case_and_result
    for (row,), orders in result.orders.group_by("row"):
        assert orders["order_id"].to_list() == list(range(1, orders.height + 1))
        fills = result.fills.filter(pl.col("row") == row)
        by_order = dict(fills.group_by("order_id").agg(pl.col("size").sum()).iter_rows())
        for order in orders.iter_rows(named=True):
            assert order["filled"] == by_order.pop(order["order_id"], 0)
            assert order["filled"] <= max(order["size"], 0)
            assert (order["status"] == "filled") == (order["filled"] == order["size"] > 0)
        assert not by_order, "fills of orders that never were"


def test_times_are_in_order(case_and_result):
    """Orders are sent, arrive, end and are known to have ended in that order; queues are never negative."""
    _, result = case_and_result
    orders, fills = result.orders, result.fills
    times = [pl.col(name).to_physical() for name in ("ts_sent", "ts_arrived", "ts_end")]
    assert orders.filter(times[0] > times[1]).is_empty()
    if result.counters["records_after_arrival"] == 0:  # a venue's clock that runs back may end an order before it arrived
        assert orders.filter(times[1] > times[2]).is_empty()
    assert orders.filter(pl.col("ts_sent") > pl.col("ts_end_local")).is_empty()
    assert fills.filter(pl.col("ts_local").to_physical().diff().over("row") < 0).is_empty()
    for name in ("ahead_at_entry", "ahead_at_end"):
        assert orders.filter(pl.col(name) < 0).is_empty()


class Levels(tl.Strategy):
    """Records the two best levels whenever they change; trades nothing."""

    depth = 2
    signals = ("bid0", "ask0", "bid_size0", "ask_size0", "bid_size1", "ask_size1", "bid_count1", "ask_count1")

    def on_book(self, market, orders, account):
        """Sizes of both levels, prices of the first."""
        self.signal(0, market.bid_price)
        self.signal(1, market.ask_price)
        self.signal(2, market.bid(0).size)
        self.signal(3, market.ask(0).size)
        self.signal(4, market.bid(1).size)
        self.signal(5, market.ask(1).size)
        self.signal(6, market.bid(1).count)
        self.signal(7, market.ask(1).count)


def test_own_orders_never_change_the_book(tmp_path):
    """What a strategy sees of the book, while others in the run trade all the time, is what tl.depth shows of the file."""
    columns = {"bid0": "bid_px_00", "ask0": "ask_px_00", "bid_size0": "bid_sz_00", "ask_size0": "ask_sz_00", "bid_size1": "bid_sz_01", "ask_size1": "ask_sz_01"}
    columns |= {"bid_count1": "bid_ct_01", "ask_count1": "ask_ct_01"}
    fills = 0
    for seed in (1, 4, 7, 10):
        case = Case.seeded(seed)
        path = case.stream().write(tmp_path / "x.dbn")
        result = tl.Backtest(path, **case.settings).run(tl.Row(Levels(), label="eye"), *case.rows())
        fills += result.fills.height
        depth = tl.depth(path, levels=2, tick_size="1", instruments=[1])
        for name, column in columns.items():
            seen = result.signals.filter((pl.col("strategy") == "eye") & (pl.col("signal") == name))["value"]
            shown = depth[column].fill_null(tl.UNDEFINED_PRICE).cast(pl.Float64)
            assert seen.to_list() == shown.to_list()
    assert fills > 0


def test_rows_of_arrays_are_rows(tmp_path):
    """Class.array(n, …) runs as n instances do."""
    case = Case.seeded(4)
    path = case.stream().write(tmp_path / "x.dbn")
    programs = [[k, 0, 10 * k, 100 * k] for k in range(1, 6)]
    one_by_one = tl.Backtest(path, **case.settings).run(*[with_program(Quoter(), program) for program in programs])
    array = Quoter.array(5)
    array["hand"]["length"], array["hand"]["program"][:, :4] = 4, programs
    together = tl.Backtest(path, **case.settings).run(array)
    assert one_by_one.orders.height > 0
    assert one_by_one.orders.equals(together.orders)
    assert one_by_one.signals.equals(together.signals)

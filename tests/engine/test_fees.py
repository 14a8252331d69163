"""Fees that differ by instrument: both engines book them, and fills, samples, accounts and the kill switch see the same."""

import json

import polars as pl
import pytest
from scripts import agreed
from streams import Stream

import tapeline as tl
from tapeline.verify import compare

SECOND = 1_000_000_000
PRICES = {1: 100, 2: 200, 3: 300}
"""Bids of the instruments; asks are one higher."""
MULTIPLIERS = {"I1": 10.0, "I2": 5.0, "I3": 1.0}
FEES = {"I1": tl.Fees(maker=-0.25, taker=1.5), 2: tl.Fees(maker=1.0, taker=3.0, unit="bps"), "3": tl.Fees(taker=0.5)}
"""By symbol, id, and id as text."""
SETTINGS = {"tick_size": "1", "multiplier": MULTIPLIERS}


class Dealer(tl.Strategy):
    """In each instrument, takes two lots and rests one at the bid, once; says what its account there has paid."""

    signals = ("fees_1", "fees_2", "fees_3")

    sent: (tl.int64, (3,))

    def on_book(self, market, orders, account):
        """Buy, where both sides are there for the first time."""
        i = market.instrument
        if self.sent[i] == 0 and market[i].has_bid and market[i].has_ask:
            self.sent[i] = 1
            orders[i].buy(market[i].ask_price, 2)
            orders[i].buy(market[i].bid_price, 1)

    def on_fill(self, fill, market, orders, account):
        """Fees are booked by then."""
        self.signal(market.instrument, account[market.instrument].fees)


def trading(*instruments: int, publishers: tuple[int, ...] = (1,)) -> Stream:
    """Instrument after instrument, one publisher after the other: two sides, then an order that joins the bid behind ours and is executed, which fills us."""
    stream = Stream()
    for k, (publisher, i) in enumerate((publisher, i) for i in instruments for publisher in publishers):
        of, start, bid = {"instrument": i, "publisher": publisher}, (k + 1) * SECOND, PRICES[i]
        stream.add(10 * k + 1, "B", bid, 50, ts=start, **of).add(10 * k + 2, "A", bid + 1, 50, **of).add(10 * k + 3, "B", bid, 5, ts=start + 1000, **of)
        stream.record("T", price=bid, size=5, last=False, **of).fill(10 * k + 3, 5, last=False, **of).cancel(10 * k + 3, 5, **of)
    return stream.quiet(60 * SECOND, instrument=instruments[-1], publisher=publishers[-1])


def by_symbol(result: tl.Result, *names: str, row: int = 0) -> dict[str, tuple[float, ...]]:
    """Columns of a row's accounts, by symbol."""
    lines = result.accounts.filter(pl.col("row") == row).drop_nulls("symbol")
    return {symbol: tuple(amounts) for symbol, *amounts in lines.select("symbol", *names).iter_rows()}


@pytest.mark.nojit
def test_each_instrument_has_its_fees(tmp_path):
    """By hand: per lot in one, of the notional in the next, takers alone in the third; in fills, samples, accounts and callbacks, in both engines."""
    result = agreed(trading(1, 2, 3).write(tmp_path / "x.dbn"), Dealer(), fees=FEES, **SETTINGS)
    each = {"I1": (-0.25, 2 * 1.5), "I2": (200 * 5 * 1e-4, 2 * 201 * 5 * 3e-4), "I3": (0.0, 2 * 0.5)}
    paid = by_symbol(result, "fees_maker", "fees_taker")
    assert {symbol: pytest.approx(fees) for symbol, fees in each.items()} == paid
    totals = pytest.approx([sum(fees) for fees in each.values()])
    assert result.fills.group_by("symbol", maintain_order=True).agg(pl.col("fee").sum())["fee"].to_list() == totals
    assert result.equity.group_by("symbol", maintain_order=True).last()["fees"].to_list() == totals
    assert result.signals.group_by("signal", maintain_order=True).last()["value"].to_list() == totals


@pytest.mark.nojit
def test_fees_are_those_of_row_and_instrument(tmp_path):
    """Rows with fees of their own, by instrument or one for all, beside rows with the run's: each fill's fee is its rate × lots or notional, recomputed."""
    own = {"I3": tl.Fees(maker=2.0, taker=7.0, unit="bps"), "I1": tl.Fees(taker=0.75), 2: tl.Fees(maker=-1.0)}
    one = tl.Fees(maker=0.125, taker=4.0)
    rows = [Dealer(), tl.Row(Dealer(), fees=own), tl.Row(Dealer(), fees=one), Dealer()]
    result = agreed(trading(1, 2, 3).write(tmp_path / "x.dbn"), *rows, fees=FEES, **SETTINGS)
    of_run = dict(zip(("I1", "I2", "I3"), FEES.values(), strict=True))
    known = [of_run, {"I1": own["I1"], "I2": own[2], "I3": own["I3"]}, dict.fromkeys(MULTIPLIERS, one), of_run]
    assert result.fills.height == len(rows) * 3 * 2
    for fill in result.fills.iter_rows(named=True):
        fees, lots = known[fill["row"]][fill["symbol"]], fill["size"]
        rate = fees.maker if fill["is_maker"] else fees.taker
        assert fill["fee"] == pytest.approx(rate * lots if fees.unit == "contract" else rate * 1e-4 * fill["price"] * MULTIPLIERS[fill["symbol"]] * lots)
    sums = result.fills.group_by("row", "symbol", maintain_order=True).agg(pl.col("fee").sum())
    assert result.equity.group_by("row", "symbol", maintain_order=True).last()["fees"].to_list() == pytest.approx(sums["fee"].to_list())


@pytest.mark.nojit
@pytest.mark.parametrize(("dear", "at"), [("I1", SECOND + 1), ("I2", 2 * SECOND + 1)])
def test_the_kill_switch_sees_them(tmp_path, dear, at):
    """A row that may lose 60 is stopped when it has paid 60 in the one instrument where takers pay: the rest of the 70 is half a tick a lot.

    In I1 that is 10 on the two lots taken; in I2 5, beside 5 in I1, where the lot that rested has won half of the 10 back.
    """
    fees = {name: tl.Fees(taker=30.0 if name == dear else 0.0) for name in ("I1", "I2")}
    rows = [tl.Row(Dealer(), limits=tl.Limits(loss_max=loss)) for loss in (60.0, 75.0)]
    result = agreed(trading(1, 2).write(tmp_path / "x.dbn"), *rows, fees=fees, **SETTINGS)
    assert result.stops.select("row", pl.col("ts").to_physical(), "net").rows() == [(0, at, -70.0)]


def test_two_venues_of_an_instrument(tmp_path):
    """(publisher_id, instrument_id) tells venues apart that have an instrument in common; its symbol means all of them."""
    path = trading(1, publishers=(1, 2)).write(tmp_path / "x.dbn")
    apart = agreed(path, Dealer(), fees={(1, 1): tl.Fees(taker=1.0), (2, 1): tl.Fees(taker=3.0)}, **SETTINGS)
    assert by_symbol(apart, "fees_taker") == {"I1@1": (2.0,), "I1@2": (6.0,)}
    alike = agreed(path, Dealer(), fees={"I1": tl.Fees(taker=1.0)}, **SETTINGS)
    assert by_symbol(alike, "fees_taker") == {"I1@1": (2.0,), "I1@2": (2.0,)}


@pytest.mark.nojit
@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_an_instrument_without_fees_is_refused(tmp_path, engine):
    """What trades without being named would pay nothing, silently: refused when it appears, whoever left it out; nobody has to pay where it is not kept."""
    path = trading(1, 2).write(tmp_path / "x.dbn")
    said = r"^fees: they are given by instrument, and I2 \(publisher 1, id 2\) is not among them: name it, too"
    for fees in ({"I1": tl.Fees(taker=1.0)}, {1: tl.Fees(), "I3": tl.Fees()}):
        with pytest.raises(tl.ConfigError, match=said):
            tl.Backtest(path, fees=fees, engine=engine, **SETTINGS).run(Dealer())
        with pytest.raises(tl.ConfigError, match=said):
            tl.Backtest(path, engine=engine, **SETTINGS).run(Dealer(), tl.Row(Dealer(), fees=fees))
        with pytest.raises(tl.ConfigError, match=said):
            tl.Backtest(path, fees=fees, engine=engine, instruments=["I1", "I2"], **SETTINGS).run(Dealer())
        tl.Backtest(path, fees=fees, engine=engine, instruments=["I1"], **SETTINGS)
    with pytest.raises(tl.ConfigError, match=r"and I1 \(publisher 1, id 1\) is not among them"):
        tl.Backtest(path, fees={}, engine=engine, **SETTINGS).run(Dealer())


def test_the_manifest_says_them(tmp_path):
    """A saved run's manifest has the fees by the names that were given, of the run and of each row; given again, they make the same run."""
    path, own = trading(1, 2, 3).write(tmp_path / "x.dbn"), {1: tl.Fees(), (1, 2): tl.Fees(maker=9.0), "I3": tl.Fees(taker=1.0)}
    result = tl.Backtest(path, fees=FEES, **SETTINGS).run(Dealer(), tl.Row(Dealer(), fees=own))
    manifest = tl.Result.load(result.save(tmp_path / "run")).manifest
    said = manifest["settings"]["venue"]["fees"]
    assert said == {str(name): vars(fees) for name, fees in FEES.items()}
    assert [row["venue"]["fees"] for row in manifest["strategies"]] == [said, {str(name): vars(fees) for name, fees in own.items()}]
    again = {name: tl.Fees(**fees) for name, fees in json.loads(json.dumps(said)).items()}
    assert compare(result, tl.Backtest(path, fees=again, **SETTINGS).run(Dealer(), tl.Row(Dealer(), fees=own))).is_equal

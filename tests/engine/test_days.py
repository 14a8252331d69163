"""Several files in one run: the book is renewed, positions are carried over, DAY orders end with their session, nothing rolls to another contract by itself."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command_line import MAKER
from scripts import BUY, BUY_MARKET, SELL, agreed, script, told
from status_files import CLOSE, PRE_OPEN, TRADING, write_status
from streams import SNAPSHOT, Stream, write_records

import tapeline as tl
from tapeline.constants import UNDEFINED_PRICE
from tapeline.feeds.dbn import DbnInput, records
from tapeline.feeds.synth import SynthConfig, synth
from tapeline.load import load_strategy

ES = Path(__file__).resolve().parents[3] / "shared" / "data" / "databento" / "esh4-20231225.mbo.dbn.zst"
DAY = 86_400_000_000_000
P = 10**9


def two_days():
    """Bids 100: 5, asks 101: 4; and a second day, after a snapshot: bids 90: 3, asks 91: 6."""
    first = Stream().add(1, "B", 100, 5, ts=100).add(2, "A", 101, 4).quiet(500)
    second = Stream().clear(ts=1000, flags=SNAPSHOT, last=False).add(11, "B", 90, 3, flags=SNAPSHOT, last=False).add(12, "A", 91, 6, flags=SNAPSHOT)
    return first, second.quiet(1100).quiet(1900)


def run_days(path, *steps, status=None, **settings):
    """A script over two days, each a file."""
    files = [day.write(path / f"{name}.dbn") for name, day in zip("ab", two_days(), strict=True)]
    more = {"status": [write_status(path / f"{i}.status.dbn", changes) for i, changes in enumerate(status)]} if status else {}
    return agreed(files, script(*steps), tick_size="1", multiplier=1.0, instruments=[1], **more, **settings)


def test_the_book_is_renewed_and_the_position_carried_over(tmp_path):
    """Bought at 101 on the first day, sold at 90 on the second: one account. Nothing of the first day's book is left to trade with."""
    result = run_days(tmp_path, (200, BUY_MARKET, 2), (1200, SELL, 90 * P, 3), (1300, SELL, 100 * P, 1))
    assert [line[:3] + line[4:] for line in told(result) if line[0] == "FILL"] == [("FILL", 1, 101, 2), ("FILL", 2, 90, 3)]
    assert result.fills["position"].to_list() == [2, -1]
    assert result.orders["ahead_at_entry"].to_list()[2] == 0  # 100 is above the bids now


def test_orders_that_rest_overnight_are_behind_the_new_book(tmp_path):
    """A GTC buy at 90 stays; none of the orders before it came back, so it is behind the 3 of the new book, and flagged; or cancelled, where so chosen."""
    result = run_days(tmp_path, (200, BUY, 90 * P, 1))
    assert result.orders.select("status", "gaps", "ahead_at_entry", "ahead_at_end").row(0) == ("open", 1, 0, 3)
    result = run_days(tmp_path, (200, BUY, 90 * P, 1), rules=tl.FillRules(on_gap="cancel"))
    assert result.orders.select("status", "reason").row(0) == ("cancelled", "gap")


def test_day_orders_end_with_each_session(tmp_path):
    """Status files of two days: a DAY order ends at its own day's close, a GTC order at none."""
    status = ([(50, 1, TRADING), (600, 1, CLOSE)], [(900, 1, PRE_OPEN), (1050, 1, TRADING), (1800, 1, CLOSE)])
    result = run_days(tmp_path, (200, BUY, 90 * P, 1, tl.DAY), (210, BUY, 89 * P, 1), (1200, BUY, 88 * P, 1, tl.DAY), status=status)
    assert [line[:4] for line in told(result) if line[0] == "EXPIRED"] == [("EXPIRED", 1, "EXPIRY", 600), ("EXPIRED", 3, "EXPIRY", 1800)]
    assert result.orders["status"].to_list() == ["expired", "open", "expired"]


@pytest.mark.parametrize("names", [({1: "ESH4"}, {1: "ESM4"}), ({1: "ESH4", 2: "NQH4"}, {2: "ESH4", 1: "NQH4"})])
def test_an_id_that_is_another_contract_is_refused(tmp_path, names):
    """Where an id stands for another contract in the second file, book and position would be carried over to it: an error names both files and contracts."""
    files = [day.write(tmp_path / f"{i}.dbn", symbols=symbols) for i, (day, symbols) in enumerate(zip(two_days(), names, strict=True))]
    settings = {"tick_size": "1", "multiplier": 1.0, "instruments": [1]}
    with pytest.raises(tl.ConfigError, match=r"instrument id 1 is ESH4 in .*0\.dbn and \w+ in .*1\.dbn: another contract"):
        tl.Backtest(files, **settings).run(script())
    with pytest.raises(tl.ConfigError, match="another contract"):
        tl.write_tape(files, tmp_path / "x.tape", tick_size="1", instruments=[1])


def test_a_contract_whose_id_was_anothers_is_refused_by_its_name_too(tmp_path):
    """NQH4 takes over ESH4's id on the second day: named by its symbol, it was a run without that day, for the id went by its first name alone."""
    names = ({1: "ESH4", 2: "NQH4"}, {3: "ESH4", 1: "NQH4"})
    files = [day.write(tmp_path / f"{i}.dbn", symbols=symbols) for i, (day, symbols) in enumerate(zip(two_days(), names, strict=True))]
    for chosen in (["ESH4"], ["NQH4"], ["ESH4", "NQH4"]):
        with pytest.raises(tl.ConfigError, match=r"instrument id 1 is ESH4 in .* and NQH4 in .*: another contract"):
            tl.Backtest(files, tick_size="1", multiplier=1.0, instruments=chosen).run(script())


def test_ids_that_nobody_trades_may_change(tmp_path):
    """Another instrument's id that is used again for a new contract does not matter to a run without it."""
    names = ({1: "ESH4", 2: "ESZ3"}, {1: "ESH4", 2: "ESM4"})
    files = [day.write(tmp_path / f"{i}.dbn", symbols=symbols) for i, (day, symbols) in enumerate(zip(two_days(), names, strict=True))]
    assert tl.Backtest(files, tick_size="1", multiplier=1.0, instruments=["ESH4"]).run(script((200, BUY_MARKET, 1))).fills.height == 1


def simulated_day(path, day):
    """A session of the simulated market; order ids are not those of the day before."""
    config = SynthConfig(records=6_000, live_orders=400, seed=day, start_ns=1_704_236_400_000_000_000 + day * DAY)
    array = np.concatenate([part.copy() for part in synth(config)])
    array["order_id"][array["order_id"] != 0] += day * 10**12
    return write_records(path, array, symbols=config.symbols)


def test_simulated_days_in_one_run(tmp_path):
    """Two sessions: the engines agree; the position goes on from day to day, and the second day begins with what the first left."""
    files = [simulated_day(tmp_path / f"{day}.dbn.zst", day) for day in range(2)]
    maker = load_strategy(MAKER)
    result = agreed(files, maker(size=2), tick_size="0.25", multiplier=50.0)
    days = result.fills["ts_event"].dt.date()
    assert days.n_unique() == 2
    last = result.fills.filter(days == days.min())["position"][-1]
    first = result.fills.filter(days == days.max()).row(0, named=True)
    assert first["position"] - last == first["size"] * (1 if first["side"] == "buy" else -1)
    assert result.counters["snapshots_without_clear"] == 0


def live_orders(array):
    """The orders that some records leave in the book: id → side, price, size."""
    live = {}
    for action, order_id, side, price, size in array[["action", "order_id", "side", "price", "size"]].tolist():
        if action == ord("R"):
            live.clear()
        elif action in (ord("A"), ord("M")) and price != UNDEFINED_PRICE:
            live[order_id] = (side, price, size)
        elif action == ord("C") and (order := live.get(order_id)):
            live[order_id] = (*order[:2], order[2] - size)
            if order[2] <= size:
                del live[order_id]
    return live


def snapshot(array, key):
    """The book that some records leave, as the snapshot at the beginning of a file: R, then an A per order, with old times."""
    live = live_orders(array)
    made = np.zeros(1 + len(live), array.dtype)
    made[:] = array[-1]
    for name, value in key.items():
        made[name] = value
    made["flags"], made["action"], made["side"], made["order_id"], made["size"], made["price"] = SNAPSHOT | 8, ord("A"), ord("N"), 0, 0, UNDEFINED_PRICE
    made["action"][0] = ord("R")
    for row, (order_id, order) in zip(made[1:], live.items(), strict=True):
        row["order_id"], (row["side"], row["price"], row["size"]) = order_id, order
    made["flags"][-1] |= 128
    return made


@pytest.fixture(scope="module")
def es(tmp_path_factory):
    """ESH4's records from the snapshot to some minutes after the open; whole, and as two files of which the second begins with a snapshot of its own."""
    if not ES.exists():
        pytest.skip(f"the market data file {ES.name} is not here: real data is not part of the project")
    array = np.concatenate([run.copy() for run, _ in records(DbnInput([ES]))])[:24_000]
    ends = np.flatnonzero((array["flags"] & 128 != 0) & (np.roll(array["sequence"], -1) != array["sequence"]))
    cut = int(ends[ends < 18_000][-1]) + 1
    key = {name: array[name][-1] for name in ("publisher_id", "instrument_id")}
    folder, names = tmp_path_factory.mktemp("es"), {17077: "ESH4"}
    second = np.concatenate((snapshot(array[:cut], key), array[cut:]))
    whole, *parts = (write_records(folder / name, part, symbols=names) for name, part in (("whole.dbn", array), ("a.dbn", array[:cut]), ("b.dbn.zst", second)))
    return whole, parts


def test_a_real_session_in_two_files_is_the_session(es):
    """ESH4 split in two, the second file with a snapshot of its own: live orders come back with their ids, so no place is lost. Same fills, orders and PnL."""
    whole, parts = es
    maker = load_strategy(MAKER)
    settings = {"tick_size": "0.25", "multiplier": 50.0}
    one = tl.Backtest(whole, **settings).run(maker(size=2))
    two = agreed(parts, maker(size=2), **settings)
    assert one.fills.height > 50
    for frame in ("fills", "orders", "equity"):
        assert getattr(one, frame).equals(getattr(two, frame)), frame
    assert two.orders["gaps"].sum() == 0
    assert two.fills.filter(pl.col("ts_event") > two.orders["ts_sent"].median()).height > 0

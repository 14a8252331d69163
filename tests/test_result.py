"""Result: what frames say, what is checked, what survives on disk."""

import dataclasses
import json
import math
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from journals import SECOND, START, TICK, Journal, instrument, row

import tapeline.result
from tapeline import schema
from tapeline.columns import Turner, order_of
from tapeline.config import Fees, Latency
from tapeline.constants import POST_ONLY, Reason, Status
from tapeline.delays import Delay
from tapeline.errors import ConfigError, InvariantError
from tapeline.manifest import HASH_WHOLE_BYTES_MAX, fingerprint, make_manifest, plain
from tapeline.result import FRAMES, Result


@pytest.fixture
def journal() -> Journal:
    """Two lots bought as maker at 5000.00, one sold as taker at 5001.00, marked at 5000.50."""
    made = Journal(rows=[row(fees=Fees(maker=-0.5, taker=2.0), signals=("skew", "mid"))])
    made.fill(1, 2, 20_000)
    made.sample(1, 40_000)
    made.fill(2, -1, 20_004, maker=False, market_size=1, order_id=2)
    made.sample(2, 40_004)
    made.order(1, 2, 2, instruction=POST_ONLY, ahead_at_entry=7, ahead_at_end=0)
    made.refused(2, reason=Reason.POSITION_LIMIT)
    made.signals.append({"ts": START, "value": 1.5, "row": 0, "signal": 1})
    return made


def test_fills_have_sides_prices_and_times(journal: Journal) -> None:
    """A fill's side is a word, its price in price units, its times are UTC to the nanosecond."""
    fills = journal.result().fills
    assert fills["side"].to_list() == ["buy", "sell"]
    assert fills["price"].to_list() == [5000.0, 5001.0]
    assert fills["ts_local"].dtype == pl.Datetime("ns", "UTC")
    assert fills["ts_local"].to_physical().to_list() == [START + SECOND, START + 2 * SECOND]
    assert fills["ts_local"][0] == datetime.fromtimestamp(START // SECOND + 1, UTC)
    assert fills["rule"].to_list() == ["fill_behind", "taking"]
    assert fills["symbol"].to_list() == ["ESH4", "ESH4"]


def test_fill_position_runs_per_row_and_instrument() -> None:
    """`position` is the running sum of a row's own fills in that instrument, whatever else is between them."""
    journal = Journal([instrument(0, "A"), instrument(1, "B")], [row("x"), row("y")])
    for time, lots, r, place in ((1, 2, 0, 0), (2, 5, 0, 1), (3, -3, 0, 0), (4, 1, 1, 0), (5, 1, 0, 1)):
        journal.fill(time, lots, 100, row=r, place=place)
    for cell in list(journal.accounts):
        journal.sample(6, 200, row=cell[0], place=cell[1])
    assert journal.result().fills["position"].to_list() == [2, 5, -1, 6, 1]


def test_fills_large_against_the_market_are_flagged(journal: Journal) -> None:
    """A fill of more than half of what it traded against is_large."""
    assert journal.result().fills["is_large"].to_list() == [False, True]


def test_fees_by_contract_and_by_notional() -> None:
    """Fees are lots × rate, or basis points of price × multiplier × lots; maker and taker apart."""
    for fees, maker, taker in ((Fees(maker=-0.5, taker=2.0), -1.0, 2.0), (Fees(maker=1.0, taker=3.0, unit="bps"), 50.0, 75.015)):
        journal = Journal(rows=[row(fees=fees)])
        journal.fill(1, 2, 20_000)
        journal.fill(2, -1, 20_004, maker=False)
        journal.sample(3, 40_000)
        result = journal.result()
        assert result.fills["fee"].to_list() == pytest.approx([maker, taker])
        assert result.equity["fees"].to_list() == pytest.approx([maker + taker])


def test_equity_is_in_currency(journal: Journal) -> None:
    """Gross = cash + position × mark × multiplier; net = gross − fees."""
    last = journal.result().equity.row(-1, named=True)
    assert last["cash"] == -2 * 5000 * 50 + 5001 * 50
    assert last["mark"] == 5000.5
    assert last["gross"] == last["cash"] + 1 * 5000.5 * 50
    assert last["net"] == last["gross"] - last["fees"]
    assert last["fees"] == -0.5 * 2 + 2.0
    assert last["maker_notional"] == 2 * 5000 * 50


def test_orders_have_nulls_for_what_does_not_exist(journal: Journal) -> None:
    """A market order has no price, an order that never arrived no arrival, one that never rested no queue, an order filled no reason."""
    rested, refused = journal.result().orders.to_dicts()
    assert (rested["price"], rested["type"], rested["post_only"], rested["ahead_at_entry"], rested["reason"]) == (5000.0, "limit", True, 7, None)
    assert (refused["price"], refused["type"], refused["ts_arrived"], refused["ahead_at_entry"]) == (None, "market", None, None)
    assert (refused["status"], refused["reason"]) == ("rejected", "position_limit")


def test_instruments_have_ids_as_in_frames_of_the_market(journal: Journal) -> None:
    """Frames by instrument have ids of the type that `tl.depth` and `tl.features` give, as joins by them ask for."""
    result = journal.result()
    assert [getattr(result, name).schema["instrument_id"] for name in ("fills", "orders", "equity")] == [pl.UInt32] * 3


def test_signals_have_their_names(journal: Journal) -> None:
    """A signal is named as its strategy class declared it."""
    assert journal.result().signals.select("strategy", "signal", "value").rows() == [("Maker", "mid", 1.5)]


def test_frames_are_in_order_of_row_and_time() -> None:
    """Whatever the order of recording across rows, frames are ordered by (row, time)."""
    journal = Journal(rows=[row("x"), row("y")])
    journal.fill(1, 1, 100, row=1)
    journal.fill(2, 1, 100, row=0)
    journal.fill(3, 1, 100, row=1)
    for r in (1, 0):
        journal.sample(4, 200, row=r)
    result = journal.result()
    assert result.fills["strategy"].to_list() == ["x", "y", "y"]
    assert result.fills["ts_local"].to_physical().to_list() == [START + n * SECOND for n in (2, 1, 3)]
    assert result.equity["row"].to_list() == [0, 1]


@pytest.mark.parametrize(("rows", "keys"), [(1, 500), (3, 500), (3, 40), (70_000, 500), (2, 2**40)])
def test_journals_are_put_in_order_of_row_and_key(rows: int, keys: int) -> None:
    """Dense numbers or times far apart, few rows or many, each pair once or often: by row, then key, then as recorded."""
    random = np.random.default_rng(keys)
    often = np.stack((random.integers(0, rows, 400), random.integers(7, 7 + keys, 400)))
    once = random.permutation(np.unique(often, axis=1), axis=1)
    by_time = often[:, np.argsort(often[1])]
    for pairs in (often, once, by_time):
        records = np.zeros(pairs.shape[1], schema.ORDERS)
        records["row"], records["order_id"] = pairs
        assert order_of(records, "order_id", rows).tolist() == sorted(range(pairs.shape[1]), key=lambda i: tuple(pairs[:, i]))


def test_equal_names_are_told_apart() -> None:
    """Two rows of one label, and two instruments of one symbol, keep distinct names."""
    journal = Journal([instrument(0, "A", publisher_id=1), instrument(1, "A", publisher_id=2), instrument(2, "")], [row("x"), row("x")])
    for place in range(3):
        journal.fill(1, 1, 100, row=place % 2, place=place)
        journal.sample(2, 200, row=place % 2, place=place)
    fills = journal.result().fills
    assert sorted(fills["symbol"].to_list()) == ["102", "A@1", "A@2"]
    assert fills["strategy"].to_list() == ["x#0", "x#0", "x#1"]


def test_names_stay_apart_whatever_they_are() -> None:
    """A continuous symbol stands for two contracts of a venue, which their ids tell apart; a label that another is made into is told apart from it, too."""
    shared = Journal([instrument(0, "ES.c.0"), instrument(1, "ES.c.0")])
    assert list(shared.result().contracts) == ["ES.c.0@100", "ES.c.0@101"]
    crossed = [dataclasses.replace(instrument(n, "A", publisher_id=p), instrument_id=i) for n, (p, i) in enumerate([(1, 7), (1, 8), (2, 7)])]
    assert list(Journal(crossed).result().contracts) == ["A@1@7", "A@1@8", "A@2@7"]
    journal = Journal([instrument(0, "A")], [row("x#1"), row("x"), row("x")])
    for number in range(3):
        journal.fill(1, 1, 100, row=number)
        journal.sample(2, 200, row=number)
    assert journal.result().fills["strategy"].to_list() == ["x#1#0", "x#1#1", "x#2"]
    assert list(Journal([]).result().contracts) == []


@pytest.mark.parametrize("field", ["position", "cash", "maker_lots", "taker_notional"])
def test_accounts_must_follow_from_fills(journal: Journal, field: str) -> None:
    """A last sample that differs by one from what the fills make is an InvariantError that names the field."""
    journal.samples[-1][field] += 1
    with pytest.raises(InvariantError, match=field):
        journal.result()


def test_fills_without_a_sample_are_refused() -> None:
    """Fills in an instrument that has no equity sample break the invariant."""
    journal = Journal()
    journal.fill(1, 1, 100)
    with pytest.raises(InvariantError, match="position"):
        journal.result()


def test_a_fill_off_the_grid_is_refused(journal: Journal) -> None:
    """A fill between two ticks cannot be."""
    journal.fills[0]["price"] += 1
    with pytest.raises(InvariantError, match="grid"):
        journal.result()


def test_an_unknown_enum_value_is_refused(journal: Journal) -> None:
    """A status that has no name is an error, not a null."""
    journal.orders[0]["status"] = 77
    with pytest.raises(InvariantError, match="status = 77"):
        journal.result()


def test_cash_beyond_int64_still_cancels() -> None:
    """Gross equity is exact where cash and position × mark overflow int64 one by one, since their sum does not."""
    journal = Journal([instrument(grid=1, multiplier=1.0)])
    tick, lots = 2**31 - 3, 2**31
    journal.fill(1, lots, tick, market_size=2**40)
    journal.sample(2, 2 * tick + 2)
    assert journal.result().equity["gross"].to_list() == [lots * 1e-9]


def test_an_empty_run_has_frames_of_the_same_columns(journal: Journal) -> None:
    """A run without fills has empty frames with every column, statistics without NaN, and a repr."""
    full, empty = journal.result(), Journal(instruments=[]).result()
    for name in FRAMES:
        assert getattr(empty, name).columns == getattr(full, name).columns
    assert "0 fills" in repr(empty)
    assert "nan" not in str(empty.stats).lower()


def test_saved_results_load_equal(journal: Journal, tmp_path: Path) -> None:
    """Frames with their types, counters, manifest and statistics survive save and load."""
    result = journal.result(note="µ")
    loaded = Result.load(result.save(tmp_path / "deep" / "run"))
    for name in FRAMES:
        assert getattr(loaded, name).equals(getattr(result, name))
        assert getattr(loaded, name).schema == getattr(result, name).schema
    assert loaded.counters == result.counters
    assert loaded.manifest == result.manifest
    assert loaded.stats.to_dict() == result.stats.to_dict()


def test_save_replaces_an_earlier_result_only(journal: Journal, tmp_path: Path) -> None:
    """An earlier result or an empty directory is replaced and nothing is left beside; another directory, or a file, is refused and kept."""
    (tmp_path / "run").mkdir()
    journal.result(n=1).save(tmp_path / "run")
    journal.result(n=2).save(tmp_path / "run")
    assert Result.load(tmp_path / "run").manifest["n"] == 2
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter1.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="thesis"):
        journal.result().save(other)
    with pytest.raises(ConfigError, match="is a file"):
        journal.result().save(other / "chapter1.txt")
    assert (other / "chapter1.txt").read_text() == "years of work"


def test_a_save_that_fails_keeps_the_old_result(journal: Journal, tmp_path: Path) -> None:
    """If writing fails half way, what was there stays and nothing is left beside."""
    journal.result(n=1).save(tmp_path / "run")
    with pytest.raises(ValueError, match="JSON"):
        journal.result(n=float("nan")).save(tmp_path / "run")
    assert Result.load(tmp_path / "run").manifest["n"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("moment", ["_read_index", "_read_frames", "_read"])
def test_a_result_that_is_replaced_while_it_is_loaded_is_never_mixed(journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """Whenever another process saves there, what is loaded is one of the two results, whole: index and frames are of one run."""
    path, whole = journal.result(n=1).save(tmp_path / "run"), Journal(rows=[row("other")])
    real, saves = getattr(tapeline.result, moment), []

    def meanwhile(*given: Any) -> Any:
        found = real(*given) if moment == "_read_index" else None
        if not saves:
            saves.append(whole)
            monkeypatch.setattr(tapeline.result, moment, real)
            whole.result(n=2).save(path)
        return found or real(*given)

    monkeypatch.setattr(tapeline.result, moment, meanwhile)
    loaded = Result.load(path)
    assert saves
    expected = (journal if loaded.manifest["n"] == 1 else whole).result()
    assert all(getattr(loaded, name).equals(getattr(expected, name)) for name in FRAMES)


@pytest.mark.parametrize("knows", [True, False])
def test_who_saves_to_one_place_at_once_finds_no_gap(journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knows: bool) -> None:  # noqa: FBT001 - a case
    """Threads that save to one directory all succeed, and one of their results is there at every moment; without an exchange in the file system, at the end."""
    if not knows:
        monkeypatch.setattr(tapeline.result, "exchange", lambda *_: False)
    results = [journal.result(n=n) for n in range(4)]
    results[0].save(tmp_path / "run")
    with ThreadPoolExecutor(len(results) if knows else 1) as pool:
        saving = [pool.submit(result.save, tmp_path / "run") for result in results for _ in range(10)]
        while knows and not all(one.done() for one in saving):
            assert Result.load(tmp_path / "run").fills.equals(results[0].fills)
    assert {one.result() for one in saving} == {tmp_path / "run"}
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_load_names_what_is_wrong(journal: Journal, tmp_path: Path) -> None:
    """No result, a damaged one and one of another format are ConfigErrors that name the directory."""
    with pytest.raises(ConfigError, match="no saved result"):
        Result.load(tmp_path)
    path = journal.result().save(tmp_path / "run")
    index = json.loads((path / "result.json").read_text())
    (path / "result.json").write_text(json.dumps({**index, "format_version": 99}))
    with pytest.raises(ConfigError, match="format 99"):
        Result.load(path)
    (path / "result.json").write_text(json.dumps(index))
    (path / "fills.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConfigError, match=r"damaged: fills\.parquet: not what was saved"):
        Result.load(path)
    (path / "fills.parquet").unlink()
    with pytest.raises(ConfigError, match=r"damaged: .*No such file"):
        Result.load(path)


def test_no_byte_of_a_saved_result_changes_unseen(journal: Journal, tmp_path: Path) -> None:
    """Wherever a bit of a saved result flips, loading it fails with a ConfigError, or gives what was saved."""
    path, rng = journal.result().save(tmp_path / "run"), random.Random(1)
    saved = Result.load(path)
    for file in sorted(path.iterdir()):
        content = file.read_bytes()
        for place in rng.sample(range(len(content)), 50):
            file.write_bytes(content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :])
            try:
                loaded = Result.load(path)
            except ConfigError:
                continue
            assert file.suffix == ".json"
            assert (loaded.manifest, loaded.counters, loaded.contracts) == (saved.manifest, saved.counters, saved.contracts)
        file.write_bytes(content)
    assert Result.load(path).fills.equals(saved.fills)


def test_repr_is_one_line_and_html_escapes(journal: Journal) -> None:
    """A result in a prompt is one line with the net PnL; in a notebook, labels are escaped."""
    journal.rows = [row("<b>M</b>", signals=("skew", "mid"))]
    result = journal.result(interrupted=True)
    assert "\n" not in repr(result)
    assert "net PnL 75.00 USD, interrupted" in repr(result)
    assert "<b>M" not in result._repr_html_()


def test_repr_tells_of_rejected_orders() -> None:
    """A run whose orders were refused says so where it is first looked at: prices in price units are refused one and all."""
    journal = Journal(rows=[row("x")])
    journal.order(1, status=Status.CANCELLED, reason=Reason.REQUESTED)
    assert ": 0 fills, 1 order;" in repr(journal.result())
    journal.order(2, status=Status.REJECTED, reason=Reason.PRICE)
    assert "2 orders (1 rejected);" in repr(journal.result())


def test_prices_go_back_to_ticks() -> None:
    """The Float64 price of the largest tick of the finest and of an odd grid rounds back to that tick."""
    for grid in (1, 7, TICK, 10**9):
        ticks = [2**31 - 2, -(2**31) + 2, 1, 0, 123_456_789]
        journal = Journal([instrument(grid=grid)])
        for tick in ticks:
            journal.fill(1, 1, tick)
        journal.sample(2, 0)
        assert [round(price * 1e9 / grid) for price in journal.result().fills["price"]] == ticks


def test_manifest_describes_the_run(tmp_path: Path) -> None:
    """The manifest names versions, input with size and hash, parameters, seeds where something is drawn, and speed, and is JSON."""
    data = tmp_path / "x.dbn"
    data.write_bytes(b"DBN")
    manifest = make_manifest(
        data=[fingerprint(data)],
        settings={"fees": Fees(maker=1.0), "path": data, "latency": Latency(entry=Delay.log_normal(median="1us", sigma=0.1, seed=4))},
        rows=[row()],
        instruments=[instrument()],
        counters={"records": 10, "events": 4},
        seconds=2.0,
    )
    assert json.loads(json.dumps(manifest)) == manifest
    assert {"python", "tapeline", "numpy", "numba", "polars"} <= set(manifest["versions"])
    assert manifest["data"][0]["bytes"] == 3
    assert manifest["strategies"][0]["parameters"] == {"size": 1}
    assert manifest["settings"]["fees"]["maker"] == 1.0
    assert manifest["settings"]["latency"]["entry"]["seed"] == 4
    assert (manifest["records_per_second"], manifest["events_per_second"]) == (5.0, 2.0)


def test_parameters_are_numbers_or_else_text() -> None:
    """Infinities are numbers, after JSON, too; where two classes have a number and an array under one name, both are told."""
    given = [{"limit": math.inf, "window": 1.5}, {"limit": 2.0, "window": [1.0, -math.inf]}]
    found = Journal(rows=[row(f"r{i}")._replace(parameters=parameters) for i, parameters in enumerate(given)]).result().parameters
    assert found.rows() == [(0, "r0", math.inf, "1.5"), (1, "r1", 2.0, "[1.0, -inf]")]


def test_fingerprints_tell_inputs_apart(tmp_path: Path) -> None:
    """Equal bytes have equal digests; a changed byte, or a cut in a file too large to hash whole, changes it."""
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"abc")
    first = fingerprint(small)
    assert first["digest"] == fingerprint(small)["digest"]
    small.write_bytes(b"abd")
    assert fingerprint(small)["digest"] != first["digest"]
    with large.open("wb") as file:
        file.truncate(HASH_WHOLE_BYTES_MAX + 10)
    whole = fingerprint(large)
    assert whole["hash"] == "sha256-sampled"
    with large.open("r+b") as file:
        file.truncate(HASH_WHOLE_BYTES_MAX + 9)
    assert fingerprint(large)["digest"] != whole["digest"]


def test_plain_values() -> None:
    """Enums become names, paths text, NumPy arrays lists, and numbers that JSON lacks text."""
    assert plain({"a": Status.OPEN, "b": Path("x"), "c": np.arange(2), "d": np.float64(1.5), "e": (1, None), "f": float("inf")}) == {
        "a": "OPEN",
        "b": "x",
        "c": [0, 1],
        "d": 1.5,
        "e": [1, None],
        "f": "inf",
    }


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 16, 100])
def test_turned_records_are_their_fields(n: int) -> None:
    """Whatever the number of records, each column has the field of the records named, in their order."""
    random = np.random.default_rng(n)
    records = random.integers(0, 2, (n, schema.FILLS.itemsize), np.uint8).view(schema.FILLS)[:, 0]
    turner = Turner(records, n)
    for order in (np.arange(n), random.permutation(n)[: n // 2]):
        columns = turner.turned(order)
        assert len(columns) == len(order)
        for name in schema.FILLS.names or ():
            assert columns[name].tolist() == records[order][name].tolist()


def test_frames_of_several_blocks_are_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few records are turned at a time, frames say the same, also of those turned before."""
    made = Journal(rows=[row("x"), row("y")])
    for n in range(1, 30):
        made.fill(n, 1 if n % 3 else -2, 100 + n, row=n % 2, order_id=n)
        made.order(n, 5 + n, n % 2, Status.CANCELLED, row=n % 2, ts_end=START + 50 - n)
        made.sample(n, 200 + n, row=n % 2)
    whole = made.result()
    monkeypatch.setattr("tapeline.result._BLOCK_ROWS", 4)
    parts = made.result()
    for name in FRAMES:
        assert getattr(parts, name).equals(getattr(whole, name))

"""Rows of other sources become the records that they say, or the row and the column are named that cannot."""

import math
from collections import Counter
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import zstandard
from dbn_files import DATA, read

import tapeline as tl
from tapeline.constants import PRICE_SCALE, UNDEFINED_PRICE
from tapeline.feeds import rows
from tapeline.schema import MBO

START = 1_700_000_000_000_000_000
BITSTAMP = DATA.parent / "bitstamp" / "btcusd-20260502.orders.csv.gz"


def some(count: int, seed: int = 1) -> np.ndarray:
    """Records whose every field is used, up to its ends."""
    draw = np.random.default_rng(seed)
    out = np.zeros(count, MBO)
    for name in MBO.names or ():
        kind = np.iinfo(MBO[name])
        out[name] = draw.integers(kind.min, kind.max, count, MBO[name], endpoint=True)
    out["length"], out["rtype"], out["instrument_id"] = 14, 160, draw.integers(1, 3, count)
    out["ts_event"], out["ts_recv"] = (START + draw.integers(0, 10**15, count) for _ in range(2))
    out["price"] = draw.integers(-(10**15), 10**15, count)
    out["action"], out["side"] = draw.choice([ord(c) for c in "ACMRTFN"], count), draw.choice([ord(c) for c in "BAN"], count)
    out["price"][:: count // 3], out["order_id"][:2] = UNDEFINED_PRICE, (0, 2**64 - 1)
    return out


def as_frame(records: np.ndarray) -> pl.DataFrame:
    """Records as somebody else's table has them: letters, times, prices that may be null; and a column too many."""
    frame = pl.DataFrame({name: records[name] for name in (MBO.names or ())[2:]})
    letters = {code: chr(code) for code in b"ACMRTFNB"}
    return frame.with_columns(
        *(pl.col(name).replace_strict(letters, return_dtype=pl.String) for name in ("action", "side")),
        *(pl.from_epoch(name, "ns").dt.replace_time_zone("UTC") for name in ("ts_event", "ts_recv")),
        pl.when(pl.col("price") != UNDEFINED_PRICE).then("price").alias("price"),
        note=pl.lit("-"),
    )


def decimals(price: int | None) -> str | None:
    """A price in 1e-9 as text."""
    return None if price is None else f"{Decimal(price) / PRICE_SCALE:.9f}"


def made(path: Path) -> np.ndarray:
    """The records of a file, whole."""
    found, error, _ = read(path)
    assert error is None
    return found


@pytest.mark.parametrize("decimals", [0, 1, 2, 5, 8])
def test_floats_mean_the_decimals_that_they_print(decimals: int, tmp_path: Path) -> None:
    """A price of up to fifteen digits is the same as a float and as text, negative and large ones, too: 17464845.38 is no 17464845.380000002."""
    draw = np.random.default_rng(decimals)
    largest = min(9_200_000_000, 10 ** (15 - decimals) - 1)
    texts = [f"{sign * int(10.0**power * fraction) / 10**decimals:.{decimals}f}" for sign, power, fraction in zip(
        draw.choice([-1, 1], 2_000), draw.uniform(0, math.log10(largest * 10.0**decimals), 2_000), draw.uniform(0.5, 1, 2_000), strict=True)]  # fmt: skip
    frame = pl.DataFrame({"ts_event": START + np.arange(len(texts)), "action": "A", "side": "B", "price": texts, "size": 1, "order_id": 1})
    prices = []
    for price in (pl.col("price").cast(pl.Float64), pl.col("price").cast(pl.Decimal(38, 9))):
        tl.write_dbn(frame.with_columns(price), tmp_path / "x.dbn", symbol="A")
        prices.append(made(tmp_path / "x.dbn")["price"])
    assert prices[0].tolist() == prices[1].tolist()


def test_every_field_is_kept_in_whatever_form_it_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame, Parquet, CSV with times in ISO 8601 and decimal prices, CSV with raw numbers, and compressed CSV give the same records, in any batches."""
    records = some(1000)
    frame = as_frame(records)
    frame.write_parquet(tmp_path / "p.parquet")
    text = frame.with_columns(pl.col("price").map_elements(decimals, pl.String), *(pl.col(n).dt.strftime("%+") for n in ("ts_event", "ts_recv")))
    text.write_csv(tmp_path / "c.csv")
    (tmp_path / "c.csv.zst").write_bytes(zstandard.compress((tmp_path / "c.csv").read_bytes()))
    frame.with_columns(pl.col("ts_event", "ts_recv").dt.epoch("ns"), pl.col("price").fill_null(UNDEFINED_PRICE)).write_csv(tmp_path / "raw.csv")
    raw = {"price_unit": 1e-9}
    for batch_rows in (rows.BATCH_ROWS, 7):
        monkeypatch.setattr(rows, "BATCH_ROWS", batch_rows)
        for source, settings in ((frame, raw), ("p.parquet", raw), ("c.csv", {}), ("c.csv.zst", {}), ("raw.csv", raw)):
            output = tmp_path / "out.dbn.zst"
            written = tl.write_dbn(tmp_path / source if isinstance(source, str) else source, output, **settings)
            assert written["records"] == len(records)
            assert np.array_equal(made(output), records)


def row(**changes: object) -> dict[str, object]:
    """An add, as somebody might have it."""
    return {"ts_event": START, "action": "A", "side": "B", "price": 4800.25, "size": 3, "order_id": 17, **changes}


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    """Times are one, each row ends an event, and other fields are 0; nulls, empty text and NaN are what is left out."""
    tl.write_dbn(pl.DataFrame([row()]), tmp_path / "a.dbn", symbol="X")
    found = made(tmp_path / "a.dbn")[0]
    named = {name: found[name].item() for name in (MBO.names or ())[2:]}
    assert named == {
        "publisher_id": 0,
        "instrument_id": 1,
        "ts_event": START,
        "order_id": 17,
        "price": 4_800_250_000_000,
        "size": 3,
        "flags": 128,
        "channel_id": 0,
        "action": ord("A"),
        "side": ord("B"),
        "ts_recv": START,
        "ts_in_delta": 0,
        "sequence": 0,
    }
    clear = row(action="R", side=None, price=float("nan"), size=None, order_id=None, ts_recv=None, flags=None)
    frame = pl.DataFrame([clear, row(size=3.0, ts_recv=START, flags=128.0)])
    frame.with_columns(pl.col("price").fill_nan(None)).write_csv(tmp_path / "b.csv")
    for source in (frame, tmp_path / "b.csv"):
        tl.write_dbn(source, tmp_path / "b.dbn", symbol="X")
        absent, full = made(tmp_path / "b.dbn")[["side", "price", "size", "order_id", "ts_recv", "flags"]].tolist()
        assert absent == (ord("N"), UNDEFINED_PRICE, 0, 0, START, 128)
        assert full == (ord("B"), 4_800_250_000_000, 3, 17, START, 128)


def test_instruments_are_named_by_rows_or_by_the_caller(tmp_path: Path) -> None:
    """Symbols without ids are numbered by first appearance; ids without symbols are their own names; `symbol=` names the only one."""
    path = tmp_path / "a.dbn"
    cases = [
        ([{"symbol": "ES"}, {"symbol": "NQ"}, {"symbol": "ES"}], {}, {"1": "ES", "2": "NQ"}, [1, 2, 1]),
        ([{"instrument_id": 7}, {"instrument_id": 5}], {}, {"7": "7", "5": "5"}, [7, 5]),
        ([{"instrument_id": 7, "symbol": "ES"}, {"instrument_id": 5, "symbol": "NQ"}], {}, {"7": "ES", "5": "NQ"}, [7, 5]),
        ([{"instrument_id": 7}], {"symbol": "ES"}, {"7": "ES"}, [7]),
    ]
    for names, settings, symbols, ids in cases:
        frame = pl.DataFrame([row(**name) for name in names])
        assert tl.write_dbn(frame, path, **settings)["instruments"] == symbols
        assert made(path)["instrument_id"].tolist() == ids
        frame.write_csv(tmp_path / "a.csv")
        assert tl.write_dbn([tmp_path / "a.csv"], path, **settings)["instruments"] == symbols
        assert made(path)["instrument_id"].tolist() == ids


@pytest.mark.parametrize(
    ("size", "lot", "lots"),
    [(0.121053, "1e-8", 12_105_300), (Decimal("0.12105300"), "0.00000001", 12_105_300), ("0.12105300", 1e-8, 12_105_300), (300, 100, 3), (300.0, 1, 300)],
)
def test_sizes_are_counted_in_lots(tmp_path: Path, size: object, lot: object, lots: int) -> None:
    """Floats, decimals, text and whole numbers are exact multiples of a lot."""
    tl.write_dbn(pl.DataFrame([row(size=size)]), tmp_path / "a.dbn", symbol="X", lot=lot)
    assert made(tmp_path / "a.dbn")["size"].tolist() == [lots]


BAD_ROWS = {
    "ts_event": [None, 5, START // 1000, 2**62, "yesterday"],
    "ts_recv": [5, "soon"],
    "action": [None, "Z", "", "AA", "a"],
    "side": ["Q", "buy"],
    "price": [float("inf"), 1e10, "4,800.25", "abc"],
    "size": [-1, 2**32, 1.5, "x"],
    "order_id": [-1, 2.5, "c0ffee", 2**64],
    "flags": [256, -1],
    "sequence": [2**32],
    "symbol": [None],
}


@pytest.mark.parametrize(("column", "value"), [(column, value) for column, values in BAD_ROWS.items() for value in values])
def test_the_row_and_the_column_are_named_that_cannot_be(tmp_path: Path, column: str, value: object) -> None:
    """A value that a record cannot hold is refused with its file, row, column and itself; nothing is written."""
    good = row(symbol="X", ts_recv=START, flags=0, sequence=0)
    frame = pl.DataFrame({name: pl.Series([content, value if name == column else content], strict=False, dtype=_kind(value, content, name == column))
                          for name, content in good.items()})  # fmt: skip
    with pytest.raises(tl.DataError, match=rf"(the frame: row 2: {column}=|symbol None)"):
        tl.write_dbn(frame, tmp_path / "a.dbn")
    assert not list(tmp_path.iterdir())
    frame.with_columns(pl.col("price").cast(pl.String).str.replace("^4800$", "4800.0")).write_csv(tmp_path / "a.csv")
    if value is not None or column in {"ts_event", "action"}:
        with pytest.raises(tl.DataError, match=rf"a\.csv: row 2: {column}="):
            tl.write_dbn(tmp_path / "a.csv", tmp_path / "a.dbn")


def _kind(value: object, content: object, is_bad: bool) -> pl.DataType | None:  # noqa: FBT001 - of one caller
    """A type that holds both."""
    if not is_bad or value is None or type(value) is type(content):
        return pl.Int128() if is_bad and isinstance(value, int) else None
    return pl.String() if isinstance(value, str) else pl.Float64()


def test_a_float_is_no_time(tmp_path: Path) -> None:
    """Nanoseconds since 1970 do not fit into a float: a column of them is refused at its first row."""
    with pytest.raises(tl.DataError, match=r"the frame: row 1: ts_event=1\.7e\+18: expected a time"):
        tl.write_dbn(pl.DataFrame([row(ts_event=1.7e18)]), tmp_path / "a.dbn", symbol="X")


@pytest.mark.parametrize(
    ("changes", "settings", "told"),
    [
        ({"price": 4800}, {"symbol": "X"}, "price_unit: prices in the frame are whole numbers: say what 1 of them is worth"),
        ({}, {"symbol": "X", "price_unit": 1}, "price_unit=1: prices in the frame have decimals"),
        ({"price": 4800}, {"symbol": "X", "price_unit": 0}, "price_unit=0: expected a positive number"),
        ({}, {}, "symbol: name the instrument"),
        ({"symbol": "Y"}, {"symbol": "X"}, "symbol='X': the frame has a column of them"),
        ({}, {"symbol": "X", "lot": "0"}, "lot='0': expected a positive number"),
    ],
)
def test_settings_that_do_not_fit_are_named(tmp_path: Path, changes: dict, settings: dict, told: str) -> None:
    """What is missing, or said twice, is a ConfigError that names the setting."""
    with pytest.raises(tl.ConfigError, match=told):
        tl.write_dbn(pl.DataFrame([row(**changes)]), tmp_path / "a.dbn", **settings)
    assert not list(tmp_path.iterdir())


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """No such file, another kind, missing columns, another schema, an id with two symbols, a damaged Parquet file, the output itself, another suffix."""
    path, output = tmp_path / "a.csv", tmp_path / "a.dbn"
    pl.DataFrame([row()]).drop("side", "size").write_csv(path)
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no more")
    two = pl.DataFrame([row(instrument_id=1, symbol="A"), row(instrument_id=1, symbol="B")])
    cases = [
        (tmp_path / "no.csv", tl.DataError, r"no\.csv: no such file"),
        (path, tl.DataError, r"a\.csv: has no column side, size: rows need ts_event, .*; there are ts_event, action"),
        (tmp_path / "b.parquet", tl.DataError, r"b\.parquet: cannot be read"),
        ([path, tmp_path / "b.parquet"], tl.ConfigError, "all of one kind"),
        ([], tl.ConfigError, r"source: expected a polars frame .*, or one or more files, not list"),
        ({"ts_event": [START]}, tl.ConfigError, r"source: expected a polars frame .*, not dict"),
        (two, tl.DataError, "instrument_id 1 is A in one row and B in another"),
        (pl.DataFrame([row(instrument_id=1.5)]), tl.DataError, "instrument_id"),
        (pl.DataFrame([row(rtype=160), row(rtype=10)]), tl.DataError, "has rows of rtype 10, and those of schema mbo have 160"),
    ]
    for source, error, told in cases:
        with pytest.raises(error, match=told):
            tl.write_dbn(source, output)
    with pytest.raises(tl.ConfigError, match=r"a\.tape: expected a file that ends in \.dbn or \.dbn\.zst"):
        tl.write_dbn(path, tmp_path / "a.tape")
    assert not output.exists()


def test_no_rows_make_an_empty_file(tmp_path: Path) -> None:
    """A table without rows is a file without records."""
    assert tl.write_dbn(pl.DataFrame([row()]).clear(), tmp_path / "a.dbn", symbol="X")["records"] == 0
    assert not len(made(tmp_path / "a.dbn"))


@pytest.mark.skipif(not BITSTAMP.exists(), reason=f"real market data is not here: {BITSTAMP.name}")
def test_the_book_of_another_venue(tmp_path: Path) -> None:
    """Half an hour of Bitstamp's BTC/USD, 314,057 rows in which sizes have eight decimals, gives the ten best levels that its orders add up to."""
    table = pl.read_csv(BITSTAMP, schema_overrides={"price": pl.String, "volume": pl.String}).with_row_index().sort("exchange_timestamp", "index")
    volume = pl.col("volume").cast(pl.Decimal(38, 8)).clip(upper_bound=40)  # one order is of 138,800 coins
    frame = table.select(
        pl.from_epoch("exchange_timestamp", "ms").alias("ts_event"),
        pl.col("action").replace_strict({"created": "A", "changed": "M", "deleted": "C"}),
        pl.col("direction").replace_strict({"bid": "B", "ask": "A"}).alias("side"),
        "price",
        pl.when(pl.col("action") == "deleted").then(volume.shift().over("id")).otherwise(volume).alias("size"),  # a deleted row has what is left: often 0
        pl.col("id").alias("order_id"),
        sequence=pl.int_range(pl.len()),
    )
    path = tmp_path / "btc.dbn.zst"
    assert tl.write_dbn(frame, path, symbol="BTC-USD", lot="1e-8")["records"] == 314_057
    expected = levels_now_and_then(frame, 1000)
    depth = expected.select("sequence").join_asof(tl.depth(path, tick_size=1).with_columns(pl.col("sequence").cast(pl.Int64)), on="sequence")
    assert depth.select(expected.columns).equals(expected)
    assert depth["bid_px_00"].n_unique() > 10


def levels_now_and_then(frame: pl.DataFrame, every: int) -> pl.DataFrame:
    """Prices and sizes of the ten best levels after every so-manyth row, from a plain dict of orders."""
    orders: dict[int, tuple[str, int, int]] = {}
    lines = []
    for action, side, price, size, order_id, sequence in frame.drop("ts_event").iter_rows():
        orders.pop(order_id, None)
        if action != "C":
            orders[order_id] = side, int(Decimal(price) * PRICE_SCALE), int(size * 10**8)
        if sequence % every == every - 1:
            line = {"sequence": sequence}
            for letter, name, sign in (("B", "bid", -1), ("A", "ask", 1)):
                levels: Counter[int] = Counter()
                for of, at, lots in orders.values():
                    levels[at] += lots if of == letter else 0
                best = sorted((sign * at, at, lots) for at, lots in levels.items() if lots)[:10]
                line |= {f"{name}_{what}_{k:02}": level[place] for k, level in enumerate(best) for what, place in (("px", 1), ("sz", 2))}
            lines.append(line)
    return pl.DataFrame(lines).with_columns(pl.col("^.*_sz_.*$").fill_null(0))

"""Files of one time as one: nothing lost, nothing turned round, and every book what it is by itself."""

import datetime as dt
import heapq
import json
from pathlib import Path

import databento_dbn
import numpy as np
import polars as pl
import pytest
from command_line import invoke
from dbn_files import real
from polars.testing import assert_frame_equal
from streams import Stream, write_records

import tapeline as tl
from tapeline.constants import TIME_END, UNDEFINED_TIMESTAMP
from tapeline.errors import ConfigError, DataError
from tapeline.feeds import merge as merging
from tapeline.feeds.dbn import DbnInput, records
from tapeline.feeds.dbn_write import write_mbo
from tapeline.feeds.synth import SynthConfig, synth
from tapeline.schema import MBO

DAY = 1_700_000_000_000_000_000


def read(path: Path) -> np.ndarray:
    """All records of a file."""
    return np.concatenate([np.empty(0, MBO), *(run for run, _ in records(DbnInput([path])))])


def parts_of(rng: np.random.Generator, n: int) -> list[np.ndarray]:
    """Records of five instruments, an array each: few times, many of them equal, some that run back, some that are undefined. Order ids number them."""
    array = np.zeros(n, MBO)
    array["length"], array["rtype"], array["action"], array["side"], array["publisher_id"] = 14, 160, ord("N"), ord("N"), 1
    array["order_id"], array["instrument_id"] = np.arange(n), rng.integers(1, 6, n)
    array["ts_event"] = array["ts_recv"] = DAY + np.sort(rng.integers(0, n // 3, n)) + rng.integers(0, 3, n) * (rng.random(n) < 0.1)
    array["ts_recv"][rng.random(n) < 0.02] = UNDEFINED_TIMESTAMP
    return [array[array["instrument_id"] == i] for i in range(1, 6)]


def merged_plainly(parts: list[np.ndarray]) -> list[int]:
    """The order ids of records by the greatest known time so far in their file, then by file."""

    def keyed(number: int, part: np.ndarray):
        latest = 0
        for record in part:
            latest = max(latest, 0 if record["ts_recv"] == UNDEFINED_TIMESTAMP else int(record["ts_recv"]))
            yield latest, number, int(record["order_id"])

    return [order_id for _, _, order_id in heapq.merge(*(keyed(number, part) for number, part in enumerate(parts)), key=lambda each: each[:2])]


@pytest.mark.parametrize("piece", [1, 7, 1 << 16])
def test_order_is_that_of_receipt(tmp_path, monkeypatch, piece):
    """However many records are looked at together: all of them, by time of receipt, at one time in the order of files, in each file in its own order."""
    monkeypatch.setattr(merging, "PIECE", piece)
    parts = parts_of(np.random.default_rng(piece), 400)
    files = [write_records(tmp_path / f"{i}.dbn{'.zst' * (i % 2)}", part, version=1 + i % 3) for i, part in enumerate(parts)]
    files.insert(2, write_records(tmp_path / "empty.dbn", np.empty(0, MBO)))
    made = tl.merge(files, tmp_path / "all.dbn.zst")
    found = read(tmp_path / "all.dbn.zst")
    assert found["order_id"].tolist() == merged_plainly(parts)
    assert (np.sort(found, order="order_id") == np.sort(np.concatenate(parts), order="order_id")).all()
    known = [part["ts_recv"][part["ts_recv"] != UNDEFINED_TIMESTAMP] for part in parts]
    assert made["records_late"] == sum(int((times < np.maximum.accumulate(times)).sum()) for times in known) > 0
    assert (made["records"], made["instruments"], made["symbols_dropped"]) == (400, 5, {})


def test_books_and_trades_are_those_of_the_one_file(tmp_path):
    """A session that was parted by instrument and merged again: depth of each instrument is that of its own file, trades are those of the session."""
    config = SynthConfig(records=20_000, instruments=3, live_orders=300, gap_scale=0.05)
    session = np.concatenate([part.copy() for part in synth(config)])
    whole = write_records(tmp_path / "whole.dbn", session, symbols=config.symbols)
    files = []
    for number, symbol in config.symbols.items():
        files.append(write_records(tmp_path / f"{symbol}.dbn", session[session["instrument_id"] == number], symbols={number: symbol}))
    tl.merge(files, tmp_path / "all.dbn")
    for symbol, path in zip(config.symbols.values(), files, strict=True):
        assert_frame_equal(*(tl.depth(data, 3, tick_size="0.25", instruments=[symbol]) for data in (tmp_path / "all.dbn", path)))
    frames = [tl.trades(data, tick_size="0.25") for data in (whole, tmp_path / "all.dbn")]
    assert frames[0].height > 100
    assert_frame_equal(*(frame.sort("ts_recv", "sequence", "instrument_id") for frame in frames))


def test_real_files_of_two_venues(tmp_path):
    """ESH4's hour and one of ICE's and Nasdaq's files each: both symbols are known, and ESH4's book is what it is alone."""
    es, others = real("esh4-20231225.mbo.dbn.zst"), [real(f"tiny/{name}.mbo.dbn.zst") for name in ("XNAS.ITCH", "IFEU.IMPACT")]
    made = tl.merge([*others, es], tmp_path / "all.dbn")
    source = DbnInput([tmp_path / "all.dbn"])
    assert set(source.symbols.items()) == {pair for path in (es, *others) for pair in DbnInput([path]).symbols.items()}
    assert made["records"] == sum(len(read(path)) for path in (es, *others))
    times = read(tmp_path / "all.dbn")["ts_recv"]
    assert made["records_late"] == 0
    assert (times[1:] >= times[:-1]).all()
    assert_frame_equal(*(tl.depth(data, 2, tick_size=0.25, instruments=["ESH4"]) for data in (tmp_path / "all.dbn", es)))


def test_metadata_is_what_all_say(tmp_path):
    """Databento's library reads the same metadata: datasets that agree, first and last time, every symbol with its days."""
    one, two, three = (np.concatenate([s.array()]) for s in (Stream().quiet(DAY), Stream().quiet(DAY, instrument=2), Stream().quiet(DAY, instrument=3)))
    day = 86_400_000_000_000
    for name, array, dataset, symbols, start in (("a", one, "X", {1: "A"}, DAY), ("b", two, "X", {2: "B"}, DAY + day), ("c", three, "Y", {3: "A"}, DAY)):
        write_mbo(tmp_path / f"{name}.dbn", [array], dataset=dataset, symbols=symbols, start_ns=start)
    tl.merge([tmp_path / "a.dbn", tmp_path / "b.dbn"], tmp_path / "ab.dbn")
    metadata = databento_dbn.DBNDecoder()
    metadata.write((tmp_path / "ab.dbn").read_bytes())
    found = metadata.decode()[0]
    first = dt.datetime.fromtimestamp(DAY // 10**9, dt.UTC).date()
    assert (found.dataset, found.schema, found.start, found.end, str(found.stype_in)) == ("X", "mbo", DAY, DAY + 2 * day, "raw_symbol")
    assert found.mappings["A"] == [{"start_date": first, "end_date": first + dt.timedelta(days=2), "symbol": "1"}]
    assert [span["symbol"] for span in found.mappings["B"]] == ["2"]
    tl.merge([tmp_path / "a.dbn", tmp_path / "c.dbn"], tmp_path / "ac.dbn")
    both = DbnInput([tmp_path / "ac.dbn"])
    assert both.files[0].metadata.dataset == ""
    assert both.symbols == {1: "A", 3: "A"}


def test_an_id_of_two_contracts_has_no_symbol(tmp_path):
    """Two venues with one id for different things: the books stay apart, the symbols are left out and told, and `(publisher, id)` names them."""
    for name, publisher, price in (("a", 1, 10), ("b", 2, 90)):
        stream = Stream().add(1, "B", price, 5, ts=DAY, instrument=7, publisher=publisher).add(2, "B", price, 5, ts=DAY + 9, instrument=7, publisher=publisher)
        stream.write(tmp_path / f"{name}.dbn", symbols={7: name.upper(), 8: "SAME"})
    made = tl.merge([tmp_path / "a.dbn", tmp_path / "b.dbn"], tmp_path / "ab.dbn")
    assert made["symbols_dropped"] == {7: ["A", "B"]}
    assert DbnInput([tmp_path / "ab.dbn"]).symbols == {8: "SAME"}
    prices = tl.trades(tmp_path / "ab.dbn", tick_size=1, instruments=[(1, 7), (2, 7)])
    assert prices.is_empty()
    of_each = [tl.depth(tmp_path / "ab.dbn", 1, tick_size=1, instruments=[(publisher, 7)])["bid_px_00"].unique().to_list() for publisher in (1, 2)]
    assert of_each == [[10 * 10**9], [90 * 10**9]]


def test_what_cannot_be_merged_is_refused_and_nothing_is_left(tmp_path):
    """One instrument twice, a tape, a wrong name, an output that is an input, damage, no time: an error that names the file, and no output."""
    one = Stream().quiet(DAY).quiet(DAY + 5).write(tmp_path / "one.dbn")
    two = Stream().quiet(DAY, instrument=2).quiet(TIME_END, instrument=2).write(tmp_path / "two.dbn")
    same, out = Stream().quiet(DAY + 1).write(tmp_path / "same.dbn"), tmp_path / "out.dbn"
    (tmp_path / "cut.dbn").write_bytes(two.read_bytes()[:-60])
    tl.write_tape(same, tmp_path / "same.tape", tick_size=1)
    for files, output, kind, text in (
        ([one, same], out, ConfigError, r"one\.dbn and .*same\.dbn both have instrument 1 of publisher 1"),
        ([one, one], out, ConfigError, r"both have instrument 1"),
        ([one, tmp_path / "same.tape"], out, ConfigError, r"same\.tape: is a tape"),
        ([one, two], tmp_path / "out.parquet", ConfigError, r"ends in \.dbn"),
        ([one, two], one, ConfigError, r"one\.dbn: is what the file is to be made of"),
        ([one, two], out, DataError, r"two\.dbn: record 2: its ts_recv, 4611686018427387905, is no time"),
        ([one, tmp_path / "cut.dbn"], out, DataError, r"cut\.dbn: ends inside record 1"),
        ([one, tmp_path / "none.dbn"], out, DataError, r"none\.dbn"),
        ([], out, ConfigError, r"at least one file"),
    ):
        with pytest.raises(kind, match=text):
            tl.merge(files, output)
    assert not out.exists()
    assert len(read(one)) == 2
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_command_line(tmp_path):
    """`tapeline merge A B -o C` writes what `tl.merge` does, says so, and its progress ends at all records."""
    files = [Stream().quiet(DAY + i, instrument=i).write(tmp_path / f"{i}.dbn", symbols={i: f"I{i}", 9: f"N{i}"}) for i in (1, 2)]
    done = invoke("merge", *files, "-o", tmp_path / "both.dbn", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["records"] == 2
    assert pl.Series(read(tmp_path / "both.dbn")["instrument_id"]).to_list() == [1, 2]
    told = []
    tl.merge(files, tmp_path / "again.dbn", progress=told.append)
    assert (told[-1].records, told[-1].bytes_total) == (2, sum(path.stat().st_size for path in files))
    assert (tmp_path / "again.dbn").read_bytes() == (tmp_path / "both.dbn").read_bytes()

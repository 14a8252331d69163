"""What `check` finds in data: times, gaps, crossed spans, anomalies."""

import itertools
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs
import pytest
from command_line import invoke

from tapeline.check import ANOMALIES, check, crossed_spans, odd_counters, read_times, turns
from tapeline.constants import UNDEFINED_PRICE, UNDEFINED_TIMESTAMP, Action
from tapeline.conversion import write_tape
from tapeline.errors import DataError
from tapeline.feeds.dbn_write import write_mbo
from tapeline.inputs import open_input
from tapeline.schema import MBO

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
BOOKS = ((7, 1), (8, 1), (7, 2))
BBO = {"ts_event": pl.Int64, "instrument_id": pl.UInt32, "publisher_id": pl.UInt16, "bid_px_00": pl.Int64, "ask_px_00": pl.Int64}


def records(times: list[float], actions: str = "A", **fields: Any) -> np.ndarray:
    """MBO records received at these seconds after START, actions in turn."""
    out = np.zeros(len(times), MBO)
    out["length"], out["rtype"], out["publisher_id"], out["instrument_id"] = 14, 160, 1, 7
    out["ts_recv"] = START + (np.array(times) * SECOND).astype(np.int64)
    out["ts_event"] = out["ts_recv"] - 1000
    out["action"] = [ord(actions[i % len(actions)]) for i in range(len(times))]
    out["order_id"], out["size"], out["flags"], out["side"] = np.arange(len(times)) + 1, 1, 128, ord("B")
    out["price"] = 100 * SECOND
    for name, value in fields.items():
        out[name] = value
    return out


def write(path: Path, array: np.ndarray) -> Path:
    """A DBN file of these records."""
    write_mbo(path, [array], dataset="TEST", symbols={7: "SEVEN", 8: "EIGHT"}, start_ns=START)
    return path


def test_times_and_actions_are_those_of_the_records(tmp_path: Path) -> None:
    """First and last times are the extremes over all files, and every record is counted by its action."""
    files = [write(tmp_path / "a.dbn", records([3, 1, 2], "AC")), write(tmp_path / "b.dbn.zst", records([9, 8], "TF"))]
    times, damage = read_times(files, 60 * SECOND)
    assert damage is None
    assert times.records == 5
    assert {chr(i): int(n) for i, n in enumerate(times.actions) if n} == {"A": 2, "C": 1, "T": 1, "F": 1}
    assert (times.ts_event_first, times.ts_event_last) == (START + SECOND - 1000, START + 9 * SECOND - 1000)
    assert (times.ts_recv_first, times.ts_recv_last) == (START + 3 * SECOND, START + 9 * SECOND)


def test_instruments_are_told_with_their_ticks(tmp_path: Path) -> None:
    """What `instruments=` and `tick_size` may be is what the data has: symbol, id and the step of the prices, of each instrument that has a record."""
    array = records([0, 1, 2, 3], instrument_id=[8, 7, 8, 7], price=[100, 200, 101, 204])
    found = check([path := write(tmp_path / "two.dbn", array)])
    lines = [{"symbol": name, "instrument_id": i, "publisher_id": 1, "tick": tick} for name, i, tick in (("EIGHT", 8, 1e-9), ("SEVEN", 7, 4e-9))]
    assert found.to_dict()["instruments"] == lines
    shown = invoke("check", str(path)).output
    assert all(part in shown for part in ("instruments: 2", "EIGHT", "0.000000001", "SEVEN", "0.000000004"))


def test_brackets_in_a_symbol_are_told(tmp_path: Path) -> None:
    """A symbol is shown as it is: what is in brackets is no colour."""
    path = tmp_path / "a.dbn"
    write_mbo(path, [records([0, 1])], dataset="TEST", symbols={7: "[red]A[/]"}, start_ns=START)
    assert "[red]A[/]" in invoke("check", path, "--tick-size", "1").stdout


def test_gaps_are_told_with_the_record_after_them(tmp_path: Path) -> None:
    """A gap is a time of at least the length asked for without a record, also across files; undefined times and steps back make none."""
    first = records([0, 5, 4, 70, 71])
    first["ts_recv"][4] = UNDEFINED_TIMESTAMP
    files = [write(tmp_path / "a.dbn", first), write(tmp_path / "b.dbn", records([129, 189]))]
    times, _ = read_times(files, 60 * SECOND)
    assert times.gaps == [(START + 5 * SECOND, START + 70 * SECOND, 4), (START + 129 * SECOND, START + 189 * SECOND, 7)]


def test_undefined_times_are_left_out(tmp_path: Path) -> None:
    """Records without times are counted, and their times are no times."""
    path = write(tmp_path / "a.dbn", records([1, 2], ts_recv=UNDEFINED_TIMESTAMP, ts_event=UNDEFINED_TIMESTAMP))
    times, _ = read_times([path], SECOND)
    assert (times.records, times.ts_recv_first, times.ts_event_last, times.gaps) == (2, None, None, [])


def test_damage_is_reported_with_what_came_before(tmp_path: Path) -> None:
    """A cut file gives the times of all before the cut, and says where it is cut; a file that is no DBN is an error."""
    path = write(tmp_path / "a.dbn", records([1, 2, 3]))
    path.write_bytes(path.read_bytes()[:-10])
    times, damage = read_times([path], SECOND)
    assert times.records == 2
    assert damage is not None
    assert "a.dbn" in damage
    (tmp_path / "b.dbn").write_bytes(b"hello")
    with pytest.raises(DataError, match=r"b\.dbn"):
        read_times([tmp_path / "b.dbn"], SECOND)


@pytest.mark.parametrize("seed", range(5))
def test_crossed_spans_are_those_of_a_plain_loop(seed: int) -> None:
    """Spans start with the first event that leaves bid ≥ ask and end with the first that does not, per venue and instrument; an absent side crosses nothing."""
    rng = random.Random(seed)
    prices = [98, 99, 100, 101, UNDEFINED_PRICE]
    lines = [(i, *rng.choice(BOOKS), rng.choice(prices), rng.choice(prices)) for i in range(300)]
    expected = []
    for book in BOOKS:
        start, events = None, 0
        own = [line for line in lines if line[1:3] == book]
        for time, _, _, bid, ask in own:
            is_crossed = UNDEFINED_PRICE not in (bid, ask) and bid >= ask
            if is_crossed:
                start, events = time if start is None else start, events + 1
            elif start is not None:
                expected.append((*book, start, time, events))
                start, events = None, 0
        if start is not None:
            expected.append((*book, start, own[-1][0], events))
    frame = pl.DataFrame(lines, schema=BBO, orient="row")
    spans = crossed_spans(frame.with_columns(pl.col("ts_event").cast(pl.Datetime("ns", "UTC"))))
    found = spans.with_columns(pl.col("from", "to").to_physical()).select("instrument_id", "publisher_id", "from", "to", "events").rows()
    assert sorted(found) == sorted(expected)
    assert expected


def test_only_odd_counters_are_told() -> None:
    """Counters of anomalies are told where they are not 0; ordinary counters never."""
    assert odd_counters({"records": 9, "cancels_unknown": 2, "modifies_unknown": 0}) == {"cancels_unknown": 2}


def test_check_of_a_small_file(tmp_path: Path) -> None:
    """An unknown cancel and a crossed span are found in a file made to have them."""
    array = records([1, 2, 3, 200], "AAAC")
    array["side"] = [ord(side) for side in "BABB"]
    array["price"] = np.array([100, 99, 98, 98]) * SECOND
    array["order_id"] = [1, 2, 3, 99]
    found = check([write(tmp_path / "a.dbn", array)], tick_size="1")
    assert found.actions == {"add": 3, "cancel": 1}
    assert found.anomalies == {"cancels_unknown": 1}
    assert [(gap[2]) for gap in found.times.gaps] == [4]
    (span,) = found.crossed.to_dicts()
    assert (span["instrument_id"], span["events"]) == (7, 1)
    assert found.damage is None
    assert found.to_dict()["records"] == 4


def pre_open(path: Path, *, trade: float | None, locked: tuple[float, float]) -> Path:
    """A book that is locked between two times, with a trade before at 1 s, and perhaps one more."""
    lines = [(0, "A", "B", 100, 1), (1, "T", "B", 101, 0), (2, "A", "A", 102, 2), (locked[0], "A", "A", 100, 3), (locked[1], "C", "A", 100, 3)]
    lines = sorted([*lines, *([] if trade is None else [(trade, "T", "B", 100, 0)])])
    array = records([line[0] for line in lines])
    array["ts_event"] = array["ts_recv"]
    for name, column in zip(("action", "side", "price", "order_id"), list(zip(*lines, strict=True))[1:], strict=True):
        array[name] = [ord(value) for value in column] if name in ("action", "side") else np.array(column) * (SECOND if name == "price" else 1)
    return write(path, array)


@pytest.mark.parametrize(
    ("trade", "locked", "told"),
    [
        (None, (5, 9), [(1, 5, 9)]),
        (4, (5, 9), [(4, 5, 9)]),
        (7, (5, 9), []),
        (9, (5, 9), [(1, 5, 9)]),
        (None, (5, 5.9), []),
    ],
)
def test_a_book_that_stays_locked_without_a_trade_is_a_pre_open(tmp_path: Path, trade: float | None, locked: tuple[float, float], told: list) -> None:
    """A second and more in which the book is locked and nothing trades is told, with the second of the last trade before; of DBN and of its tape alike."""
    path = pre_open(tmp_path / "a.dbn", trade=trade, locked=locked)
    write_tape(path, tmp_path / "a.tape", tick_size="1")
    for data in (path, tmp_path / "a.tape"):
        found = check([data], **({"tick_size": "1"} if data is path else {})).pre_opens.with_columns(cs.datetime().to_physical())
        seconds = [tuple(round((time - START) / SECOND) for time in line) for line in found.select("since", "from", "to").rows()]
        assert seconds == told


def test_a_pre_open_is_told_with_what_it_means(tmp_path: Path) -> None:
    """`tapeline check` says since when nothing traded, and what a run without a status file makes of it."""
    path = pre_open(tmp_path / "a.dbn", trade=None, locked=(5, 9))
    said = invoke("check", path, "--tick-size", "1").stdout
    assert "SEVEN: no trade between 2023-11-14 22:13:21 and 2023-11-14 22:13:29 UTC, and a book that was locked or crossed: a pre-open or an auction" in said
    assert "without one, orders take" in said


def test_spans_of_time_have_their_length(tmp_path: Path) -> None:
    """Gaps say from what length on they are told, and how long each is; of what is locked, too; books have their symbols, where these are known."""
    path = pre_open(tmp_path / "a.dbn", trade=None, locked=(5, 9))
    said = [line.split() for line in invoke("check", path, "--tick-size", "1", "--gap", "2s").stdout.splitlines()]
    titled = said.index(["gaps", "in", "ts_recv", "of", "2", "s", "and", "more:", "2"])
    assert said[titled + 5] == ["│", "2023-11-14", "22:13:25.000000", "│", "22:13:29.000000", "│", "4", "s", "│", "5", "│"]
    titled = said.index(["locked", "or", "crossed:", "1"])
    assert said[titled + 4] == ["│", "SEVEN", "│", "2023-11-14", "22:13:25.000000", "│", "22:13:29.000000", "│", "4", "s", "│", "1", "│"]


def test_a_pre_open_of_one_instrument_is_not_anothers(tmp_path: Path) -> None:
    """Trades in another instrument are none in this one: neither in the span, nor before it."""
    array = np.concatenate([np.frombuffer(pre_open(tmp_path / "a.dbn", trade=None, locked=(5, 9)).read_bytes()[-5 * 56 :], MBO), records([7, 8], "T")])
    array["instrument_id"][[1, 5, 6]] = 6, 8, 6
    found = check([write(tmp_path / "b.dbn", np.sort(array, order="ts_recv"))], tick_size="1").pre_opens
    assert found.select("instrument_id", "since").rows() == [(7, None)]


def test_a_pre_open_at_one_venue_is_not_anothers(tmp_path: Path) -> None:
    """Trades in the instrument of the same id at another venue are none here, of DBN and of a tape."""
    array = np.concatenate([np.frombuffer(pre_open(tmp_path / "a.dbn", trade=None, locked=(5, 9)).read_bytes()[-5 * 56 :], MBO), records([7], "T")])
    array["publisher_id"][5] = 2
    path = write(tmp_path / "b.dbn", np.sort(array, order="ts_recv"))
    write_tape(path, tmp_path / "b.tape", tick_size="1")
    for data, settings in ((path, {"tick_size": "1"}), (tmp_path / "b.tape", {})):
        assert check([data], **settings).pre_opens.select("instrument_id", "publisher_id").rows() == [(7, 1)]


def test_check_of_damaged_data_tells_the_rest(tmp_path: Path) -> None:
    """A file cut in the middle is checked up to there, and the damage named."""
    path = write(tmp_path / "a.dbn", records([1, 2, 3]))
    path.write_bytes(path.read_bytes()[:-10])
    found = check([path], tick_size="1")
    assert found.actions == {Action.ADD.name.lower(): 2}
    assert found.damage is not None


def test_files_that_are_not_in_order_are_told(tmp_path: Path) -> None:
    """The same file twice, and days the wrong way round, are warned of, on the command line once; files in order, and damaged ones, are not."""
    one, two = write(tmp_path / "one.dbn", records([1, 2])), write(tmp_path / "two.dbn.zst", records([2, 3]))
    (tmp_path / "cut.dbn").write_bytes(one.read_bytes()[:-100])
    for files in ([one, one], [two, one]):
        with pytest.warns(UserWarning, match=rf"one\.dbn starts at 2023-11-14T22:13:21\.0+, no later than \S+{files[0].name} .*tapeline merge"):
            open_input(files)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_input([one, two])
        open_input([one, tmp_path / "cut.dbn"])
        warnings.simplefilter("always")
        done = invoke("check", two, one, "--tick-size", "1")
    assert done.stderr.count("warning: ") == 1


def test_anomalies_are_counted_by_the_reference() -> None:
    """Every name of ANOMALIES is a counter that exists."""
    from tapeline.reference.normaliser import COUNTERS

    assert set(ANOMALIES) <= set(COUNTERS)


@pytest.mark.parametrize("seed", range(3))
def test_crossed_spans_of_parts_are_those_of_the_whole(seed: int) -> None:
    """What is kept of each part of a frame is enough for the spans of the whole, wherever it is cut."""
    rng = random.Random(seed)
    lines = [(i, *rng.choice(BOOKS), rng.choice([98, None, 100]), rng.choice([99, None, 101])) for i in range(400)]
    frame = pl.DataFrame(lines, schema=BBO, orient="row")
    cuts = sorted({0, 400, *(rng.randrange(400) for _ in range(9))})
    kept = pl.concat([turns(frame[start:end]) for start, end in itertools.pairwise(cuts)])
    assert kept.height < frame.height
    assert crossed_spans(kept).equals(crossed_spans(frame))

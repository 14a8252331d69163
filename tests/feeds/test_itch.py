"""Nasdaq's ITCH 5.0 becomes the records that Databento makes of it, and with them the books that its messages say."""

import gzip
import itertools
import json
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import zstandard
from command_line import invoke
from dbn_files import DATA, read, real
from itch_files import Books, listed, message, told
from peers.conversion import to_itch

import tapeline as tl
from tapeline.constants import UNDEFINED_PRICE, Phase, RecordFlag
from tapeline.feeds import itch, unpacked
from tapeline.feeds.dbn_write import write_mbo
from tapeline.feeds.status import read_status
from tapeline.feeds.synth import SynthConfig, synth
from tapeline.schema import MBO
from tapeline.terminal import Exit

DAY = "2020-01-30"
MIDNIGHT = 1_580_360_400_000_000_000
"""Of that day in New York."""
ITCH = DATA.parent / "itch"
ONE = [
    message("S", 0, 1, "O"),
    listed(1, "ONE", 2),
    listed(2, "TWO", 3),
    message("H", 1, 4, "ONE", "T", ""),
    message("A", 1, 10, 7, "B", 300, "ONE", 1_000_000),
    message("F", 1, 11, 8, "S", 200, "ONE", 1_000_500, "MPID"),
    message("A", 2, 12, 9, "S", 50, "TWO", 20_000),
    message("X", 1, 13, 7, 100),
    message("E", 1, 14, 8, 150, 1),
    message("C", 1, 15, 7, 20, 2, "Y", 999_900),
    message("C", 1, 16, 7, 30, 3, "N", 999_800),
    message("U", 1, 17, 7, 10, 400, 1_000_100),
    message("P", 1, 18, 0, "B", 77, "ONE", 1_000_250, 4),
    message("Q", 1, 19, 5000, "ONE", 1_000_300, 5, "O"),
    message("Q", 1, 20, 0, "ONE", 0, 6, "C"),
    message("B", 1, 21, 4),
    message("D", 1, 22, 10),
    message("E", 1, 23, 8, 50, 7),
    message("S", 0, 24, "C"),
]
"""A message of every type that says something of an order, of two instruments."""
SAID = [
    # action, side, price in 1e-4, size, order, flags, time, number of the message
    ("R", "N", None, 0, 0, 128, 2, 2),
    ("A", "B", 1_000_000, 300, 7, 128, 10, 5),
    ("A", "A", 1_000_500, 200, 8, 128, 11, 6),
    ("C", "B", 1_000_000, 100, 7, 128, 13, 8),
    ("T", "B", 1_000_500, 150, 0, 128, 14, 9),
    ("F", "A", 1_000_500, 150, 8, 128, 14, 9),
    ("C", "A", 1_000_500, 150, 8, 128, 14, 9),
    ("T", "A", 999_900, 20, 0, 128, 15, 10),
    ("F", "B", 999_900, 20, 7, 128, 15, 10),
    ("C", "B", 1_000_000, 20, 7, 128, 15, 10),
    ("F", "B", 999_800, 30, 7, 128, 16, 11),
    ("C", "B", 1_000_000, 30, 7, 128, 16, 11),
    ("C", "B", 1_000_000, 150, 7, 0, 17, 12),
    ("A", "B", 1_000_100, 400, 10, 128, 17, 12),
    ("T", "N", 1_000_250, 77, 0, 128, 18, 13),
    ("T", "N", 1_000_300, 5000, 0, 128, 19, 14),
    ("C", "B", 1_000_100, 400, 10, 128, 22, 17),
    ("T", "B", 1_000_500, 50, 0, 128, 23, 18),
    ("F", "A", 1_000_500, 50, 8, 128, 23, 18),
    ("C", "A", 1_000_500, 50, 8, 128, 23, 18),
]
"""What the first instrument's become."""


def made(path: Path, **settings: object) -> tuple[np.ndarray, dict]:
    """The records of a file that is made of another, and what write_dbn says of it."""
    output = path.with_name("made.dbn")
    written = tl.write_dbn(path, output, **{"date": DAY, **settings})
    found, error, _ = read(output)
    assert error is None
    assert len(found) == written["records"]
    return found, written


def plain(records: np.ndarray) -> list[tuple]:
    """Records as they are written above."""
    assert set(records["publisher_id"].tolist()) <= {2}
    assert (records["ts_recv"] == records["ts_event"]).all()
    return [
        (
            *(chr(record[name]) for name in ("action", "side")),
            None if record["price"] == UNDEFINED_PRICE else int(record["price"]) // 100_000,
            *(int(record[name]) for name in ("size", "order_id", "flags")),
            int(record["ts_event"]) - MIDNIGHT,
            int(record["sequence"]),
        )
        for record in records
    ]


@pytest.mark.nojit
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_every_message_becomes_what_databento_makes_of_it(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An execution is T, F and C, without T if not printable; a replace C and A; trades off the book are T of no side: in files of any kind, cut anywhere."""
    content, path = b"".join(ONE), tmp_path / f"01302020.NASDAQ_ITCH50{suffix}"
    packed = {"": content, ".gz": gzip.compress(content[:99]) + gzip.compress(content[99:]) + bytes(512), ".zst": zstandard.compress(content)}
    path.write_bytes(packed[suffix])
    for piece, chunk in ((unpacked.PIECE_BYTES, itch.CHUNK_RECORDS), (7, 3)):
        monkeypatch.setattr(unpacked, "PIECE_BYTES", piece)
        monkeypatch.setattr(itch, "CHUNK_RECORDS", chunk)
        found, written = made(path, instruments="ONE", date=None)
        assert plain(found) == SAID
        assert written["instruments"] == {"1": "ONE"}
        assert written["counters"] == {
            "messages": 19, "messages_unknown": 0, "orders_unreadable": 0, "adds_of_live_reference": 0, "references_unknown": 0, "sizes_oversized": 0,
            "trades_broken": 1,
        }  # fmt: skip


@pytest.mark.nojit
def test_trading_states_become_a_status_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Halt, pause, quotation only and trading are the phases of a run from their times on, of the instruments chosen, however many are noted at once."""
    states = [(4, 1, "T"), (5, 2, "T"), (6, 1, "H"), (6, 2, "P"), (7, 1, "Q"), (8, 1, "T"), (9, 1, "?")]
    path, status = tmp_path / "day.bin", tmp_path / "day.status.dbn.zst"
    path.write_bytes(b"".join([*ONE[:3], *(message("H", locate, now, "", state, "") for now, locate, state in states)]))
    one = [(MIDNIGHT + 4, Phase.TRADING), (MIDNIGHT + 6, Phase.HALTED), (MIDNIGHT + 7, Phase.AUCTION), (MIDNIGHT + 8, Phase.TRADING)]
    for at_once in (itch.CHANGES_AT_ONCE, 1):
        monkeypatch.setattr(itch, "CHANGES_AT_ONCE", at_once)
        _, written = made(path, status=status)
        assert (written["status"], written["states"]) == (str(status), 6)
        phases = {key: [(ts, phase) for ts, phase, _ in changes] for key, changes in read_status([status]).items()}
        assert phases == {(2, 1): one, (2, 2): [(MIDNIGHT + 5, Phase.TRADING), (MIDNIGHT + 6, Phase.HALTED)]}
    made(path, status=status, instruments="ONE")
    assert list(read_status([status])) == [(2, 1)]
    with pytest.raises(tl.ConfigError, match=r"made\.dbn': is the output, too"):
        made(path, status=tmp_path / "made.dbn")
    rows = pl.DataFrame({"ts_event": [1], "action": ["R"], "side": ["N"], "price": [1.0], "size": [0], "order_id": [0]})
    with pytest.raises(tl.ConfigError, match="rows tell nothing of halts"):
        tl.write_dbn(rows, tmp_path / "rows.dbn", symbol="ONE", status=status)


def test_instruments_are_chosen_by_symbol_or_number(tmp_path: Path) -> None:
    """All are kept where none are named; ids are the directory's; a symbol that is not there is told with those like it."""
    path = tmp_path / "day.bin"
    path.write_bytes(b"".join(ONE))
    everything, written = made(path)
    assert written["instruments"] == {"1": "ONE", "2": "TWO"}
    assert len(everything) == len(SAID) + 2
    for chosen in ("TWO", ["TWO"], 2, [2]):
        found, written = made(path, instruments=chosen)
        assert written["instruments"] == {"2": "TWO"}
        assert np.array_equal(found, everything[everything["instrument_id"] == 2])
    for chosen, told_of in (("ON", r"'ON' is not among the 2 of the directory of .*day\.bin; there are ONE"), ([], "names none"), (7, "7 is not among")):
        with pytest.raises(tl.ConfigError, match=told_of):
            made(path, instruments=chosen)


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("01302020.NASDAQ_ITCH50.gz", date(2020, 1, 30)),
        ("12302019.NASDAQ_ITCH50", date(2019, 12, 30)),
        ("10112012.NASDAQ_ITCH50", date(2012, 10, 11)),
        ("S081321-v50.txt.gz", date(2021, 8, 13)),
        ("20200130.BX_ITCH_50.gz", date(2020, 1, 30)),
        ("itch-2020-01-30.bin", date(2020, 1, 30)),
        ("99999999.bin", None),
        ("day.bin", None),
    ],
)
def test_names_of_files_tell_the_day(name: str, day: date | None, tmp_path: Path) -> None:
    """However Nasdaq wrote it; where the name has none it is asked for, and what is given comes before the name."""
    path = tmp_path / name
    path.write_bytes(b"".join(ONE))
    if day is None:
        with pytest.raises(tl.ConfigError, match=r"date: of which day .* is, its name does not say: give date"):
            made(path, date=None)
    else:
        assert made(path, date=None)[0]["ts_event"][0] == itch.midnight(day) + 2
    assert made(path, date=date(2020, 1, 30))[0]["ts_event"][0] == MIDNIGHT + 2
    with pytest.raises(tl.ConfigError, match=r"date='30\.1\.2020': expected a day, such as 2020-01-30"):
        made(path, date="30.1.2020")
    for far in ("9999-12-31", "1677-01-01", date(2262, 4, 12)):  # which clocks of nanoseconds do not reach
        with pytest.raises(tl.ConfigError, match="expected a day from 1990 to 2099"):
            made(path, date=far)


def test_midnight_is_new_yorks() -> None:
    """Five hours behind UTC in winter, four in summer."""
    assert itch.midnight(date(2020, 1, 30)) == MIDNIGHT
    assert itch.midnight(date(2020, 7, 1)) == np.datetime64("2020-07-01T04:00", "ns").astype(int)


def test_what_is_odd_is_counted_and_left_out(tmp_path: Path) -> None:
    """Messages about orders that never came, adds that say nothing, and types that ITCH 5.0 has not; an order that loses more than it has is gone."""
    odd = [
        message("X", 1, 30, 999, 5),
        message("U", 1, 31, 999, 1000, 5, 5),
        message("A", 1, 32, 20, "?", 5, "ONE", 5),
        message("A", 1, 33, 21, "B", 0, "ONE", 5),
        b"\0\x03Zxx",
        b"\0\0",
        message("A", 1, 34, 22, "B", 5, "ONE", 5),
        message("A", 1, 35, 22, "B", 6, "ONE", 5),
        message("E", 1, 36, 22, 9, 1),
        message("D", 1, 37, 22),
    ]
    path = tmp_path / "day.bin"
    path.write_bytes(b"".join([listed(1, "ONE"), *odd]))
    found, written = made(path)
    assert [(action, size) for action, _, _, size, *_ in plain(found)] == [("R", 0), ("A", 5), ("A", 6), ("T", 9), ("F", 9), ("C", 9)]
    assert written["counters"] == {
        "messages": 11, "messages_unknown": 1, "orders_unreadable": 2, "adds_of_live_reference": 1, "references_unknown": 3, "sizes_oversized": 1,
        "trades_broken": 0,
    }  # fmt: skip


def test_damage_is_told_with_its_place(tmp_path: Path) -> None:
    """A file that ends inside a message, compressed data that does or is damaged, and a message of a wrong length: no file is made of any."""
    content, day = b"".join(ONE), tmp_path / "day.bin"
    packed = bytearray(gzip.compress(content * 9, 1))
    wrong = bytearray(content)
    place = len(b"".join(ONE[:4]))
    wrong[place + 1] = 35
    cases = [
        (content[:-3], r"day\.bin: ends inside message 19: of that message, at byte 617, only 11 bytes are there"),
        (bytes(wrong), rf"day\.bin: message 5, at byte {place}, is of type A and has 35 bytes, where ITCH 5\.0 has 36"),
        (packed[:-20], r"day\.bin: the compressed data ends too early"),
        (packed[:150] + b"\xff\xff\xff\xff\xff" + packed[155:], r"day\.bin: damaged behind byte"),
        (zstandard.compress(content)[:-5], r"day\.bin: damaged behind byte"),
        (b"", r"day\.bin: is nothing that becomes DBN: neither rows \(.*\), nor ITCH 5\.0 of Nasdaq, nor LOBSTER's"),
        (b"whatever", r"day\.bin: is nothing that becomes DBN"),
    ]
    for data, told_of in cases:
        day.write_bytes(data)
        with pytest.raises(tl.DataError, match=told_of):
            made(day)
    assert not (tmp_path / "made.dbn").exists()
    with pytest.raises(tl.DataError, match="no such file"):
        made(tmp_path / "none.bin")


def test_settings_of_other_inputs_are_refused(tmp_path: Path) -> None:
    """What rows need says nothing of ITCH, and the other way round; two days are two files."""
    day, rows = tmp_path / "day.bin", tmp_path / "rows.csv"
    day.write_bytes(b"".join(ONE))
    rows.write_text("ts_event\n")
    with pytest.raises(tl.ConfigError, match=r"lot=2: is a setting for rows, and .*day\.bin is ITCH: leave it out"):
        made(day, lot=2)
    with pytest.raises(tl.ConfigError, match=r"instruments='A': is a setting for ITCH, and .*rows\.csv is rows"):
        made(rows, instruments="A", date=None)
    with pytest.raises(tl.ConfigError, match=r"day\.bin: one file of ITCH at a time"):
        tl.write_dbn([day, day], tmp_path / "made.dbn")


def books(path: Path, depth: int, key: str) -> dict[int, tuple]:
    """What a DBN file's book shows last for each value of a column of depth."""
    names = [f"{side}_{name}_{k:02}" for side in ("bid", "ask") for k in range(depth) for name in ("px", "sz", "ct")]
    frame = tl.depth(path, levels=depth, tick_size="0.0001").select(pl.col(key).cast(pl.Int64), *names)
    return {first: tuple(rest) for first, *rest in frame.iter_rows()}


def test_the_command_makes_the_same_file(tmp_path: Path) -> None:
    """`tapeline dbn` takes the same settings, and shows all messages and what is odd."""
    path, outputs = tmp_path / "day.bin", [tmp_path / name for name in ("a.dbn", "b.dbn")]
    path.write_bytes(b"".join(ONE))
    tl.write_dbn(path, outputs[0], instruments=["TWO", "ONE"], date=DAY)
    done = invoke("dbn", path, "-o", outputs[1], "--instruments", "TWO, ONE", "--date", DAY, "--json")
    shown = json.loads(done.stdout)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    assert {name: shown[name] for name in ("records", "instruments", "messages", "trades_broken")} == {
        "records": 22, "instruments": 2, "messages": 19, "trades_broken": 1,
    }  # fmt: skip
    assert "references_unknown" not in shown
    done = invoke("dbn", path, "-o", outputs[1])
    assert (done.exit_code, "date: of which day" in done.stderr) == (Exit.USAGE, True)


def check_through_itch(records: np.ndarray, day: date, folder: Path) -> None:
    """Records written as ITCH, and made records again, have the same book after every moment, and the same trades."""
    content, n = to_itch(records, itch.midnight(day))
    path, before, after = folder / "day.bin", folder / "before.dbn", folder / "after.dbn"
    path.write_bytes(content)
    write_mbo(before, [records], dataset="X", symbols={}, start_ns=0)
    counters = tl.write_dbn(path, after, date=day)["counters"]
    assert sum(counters.values()) == counters["messages"] == n
    ours, theirs = (books(file, 10, "ts_event") for file in (after, before))
    first = records["ts_event"][records["flags"] & RecordFlag.SNAPSHOT == 0][0]
    moments = sorted({ts for ts in (*ours, *theirs) if ts > first})
    mine = last = None
    for ts in moments:
        mine, last = ours.get(ts, mine), theirs.get(ts, last)
        assert mine is None or last is None or mine == last
    again = read(after)[0]
    printed, trades = again[(again["action"] == ord("T")) & (again["side"] == ord("N"))], records[records["action"] == ord("T")]
    assert printed[["ts_event", "price", "size"]].tolist() == trades[["ts_event", "price", "size"]].tolist()
    assert len(moments) > 30 * len(trades) ** 0.5 > 600


def test_a_simulated_day_is_the_same_as_itch(tmp_path: Path) -> None:
    """Partial cancels, icebergs and modifies of thousands of orders, for which the table grows, come through."""
    records = np.concatenate([chunk.copy() for chunk in synth(SynthConfig(records=30_000, seed=7, gap_scale=0.05, live_orders=3_000))])
    check_through_itch(records, date(2024, 1, 2), tmp_path)


def test_es_is_the_same_as_itch(tmp_path: Path) -> None:
    """So does a real hour of CME's."""
    records = read(real("esh4-20231225.mbo.dbn.zst"))[0]
    check_through_itch(records, date(2023, 12, 25), tmp_path)


def test_arl_as_itch_is_databentos_own(tmp_path: Path) -> None:
    """Databento's records of a day of ARL, written as the messages that they came from, are made again, but for times of receipt and two flags."""
    source, path = tmp_path / "arl.dbn", tmp_path / "arl.bin"
    tl.write_dbn(real("arl-20250717.mbo.csv"), source)
    theirs = read(source)[0]
    midnight = itch.midnight(date(2025, 7, 17))
    live: dict[int, int] = {}
    content = b""
    for _, group in itertools.groupby(theirs, lambda r: int(r["sequence"])):
        (first, *_), actions = (rows := list(group)), "".join(chr(r["action"]) for r in rows)
        now, order, size, price = int(first["ts_event"]) - midnight, int(first["order_id"]), int(first["size"]), int(first["price"]) // 100_000
        side = "B" if first["side"] == ord("B") else "S"
        if actions == "R":
            content += listed(1108, "ARL", now)
        elif actions == "A":
            live[order] = size
            content += message("A", 1108, now, order, side, size, "ARL", price)
        elif actions == "CA":
            del live[order]
            live[int(rows[1]["order_id"])] = int(rows[1]["size"])
            content += message("U", 1108, now, order, int(rows[1]["order_id"]), int(rows[1]["size"]), int(rows[1]["price"]) // 100_000)
        elif actions == "C":
            live[order] -= size
            content += message("X", 1108, now, order, size) if live[order] else message("D", 1108, now, order)
        elif actions == "TFC":
            live[int(rows[1]["order_id"])] -= size
            content += message("E", 1108, now, int(rows[1]["order_id"]), size, 0)
        else:
            assert actions == "T"
            content += message("P", 1108, now, 0, "B", size, "ARL", price, 0)
    path.write_bytes(content)
    ours = made(path, date="2025-07-17")[0]
    same = [name for name in MBO.names or () if name not in {"ts_recv", "ts_in_delta", "sequence", "flags"}]
    assert np.array_equal(ours[same], theirs[same])
    ends_no_message = np.append(theirs["sequence"][1:] == theirs["sequence"][:-1], False) & (theirs["action"] == ord("C"))
    assert np.array_equal(ours["flags"] == 0, ends_no_message)
    assert len(ours) == 5886


def test_an_artificial_day_has_the_books_of_a_dict(tmp_path: Path) -> None:
    """After every message of a file, whose book crosses, the ten best levels are those of a dict of orders; what is about unknown orders is counted."""
    path = ITCH / "artificial-itch50.bin"
    if not path.exists():
        pytest.skip(f"the market data file {path.name} is not here: real data is not part of the project")
    output = tmp_path / "made.dbn"
    written = tl.write_dbn(path, output, date=DAY, instruments=["BOB"])
    assert written["instruments"] == {"2": "BOB"}
    shown = books(output, 10, "sequence")
    theirs, ours, unknown = Books(), None, 0
    for number, one in enumerate(told(path.read_bytes()), 1):
        unknown += one.locate == 2 and one.kind in "ECXDU" and one.values[0] not in theirs.orders
        theirs.take(one)
        ours = shown.get(number, ours)
        if one.locate == 2 and ours is not None:
            levels = [ours[k : k + 3] for k in range(0, 60, 3)]
            assert [[level for level in side if level[1]] for side in (levels[:10], levels[10:])] == theirs.shown(2, 10)
    assert number == written["counters"]["messages"] == 12_012
    assert unknown == written["counters"]["references_unknown"]


def test_a_directory_without_orders_makes_empty_books(tmp_path: Path) -> None:
    """The first thousand messages of a real day list its instruments: each is a record that empties its book."""
    path = ITCH / "directory-only.itch50.bin"
    if not path.exists():
        pytest.skip(f"the market data file {path.name} is not here: real data is not part of the project")
    written = tl.write_dbn(path, tmp_path / "made.dbn", date=DAY)
    assert written["counters"]["messages"] == 1000
    assert written["records"] == len(written["instruments"]) > 300

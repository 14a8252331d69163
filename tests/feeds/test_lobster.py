"""LOBSTER's messages and order books become orders whose books are LOBSTER's after every message."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from dbn_files import DATA, read
from fifo_counts import count_fills
from lobster_files import NAME, Market

import tapeline as tl
from tapeline.constants import Phase
from tapeline.feeds import lobster
from tapeline.feeds.status import read_status

LOBSTER = DATA.parent / "lobster"
GOOG = LOBSTER / "LOBSTER_SampleFile_GOOG_2012-06-21_5.zip"
AAPL = LOBSTER / "aapl-10-first-999" / "AAPL_2012-06-21_34200000_57600000_message_10.csv"
OPEN = 1_340_285_400_000_000_000
"""21 June 2012, 9:30 in New York."""
UNKNOWN = 1 << 63


def lobsters(books: Path) -> Iterator[list[int | None]]:
    """The rows of an order-book file, in 1e-9, null where there is no level."""
    for row in pl.read_csv(books, has_header=False).iter_rows():
        yield [None if name == 0 and not row[k + 1] else n * 100_000 if name == 0 else n for k, n in enumerate(row) for name in (k % 2,)]


def ours(path: Path, depth: int, messages: int) -> Iterator[list[int | None]]:
    """What a DBN file's book shows after each message, in the columns of an order-book file."""
    names = [f"{side}_{name}_{k:02}" for k in range(depth) for side in ("ask", "bid") for name in ("px", "sz")]
    frame = tl.depth(path, levels=depth, tick_size="0.01").select("sequence", *names)
    by_message = {number: row for number, *row in frame.iter_rows()}
    row = by_message.get(0, [None, 0] * 2 * depth)
    for number in range(1, messages + 1):
        yield (row := by_message.get(number, row))


def check_books(path: Path, books: Path, depth: int, output: Path) -> dict[str, int]:
    """The books made of a message file are those of the order-book file; what was counted."""
    counters: dict[str, int] = tl.write_dbn(path, output)["counters"]
    for number, (mine, theirs) in enumerate(zip(ours(output, depth, counters["messages"]), lobsters(books), strict=True), 1):
        assert mine == theirs, number
    return counters


@pytest.mark.skipif(not GOOG.exists(), reason=f"real market data is not here: {GOOG}")
def test_googs_books_are_lobsters(tmp_path: Path) -> None:
    """After each of 112,673 messages the five best levels are LOBSTER's; of its 7,765 executions, nearly all hit the front of the queue as it is made."""
    zipfile.ZipFile(GOOG).extractall(tmp_path)
    counters = check_books(GOOG, tmp_path / "GOOG_2012-06-21_34200000_57600000_orderbook_5.csv", 5, tmp_path / "goog.dbn")
    assert counters["messages"] == 112_673
    assert counters["orders_unknown"] < 400
    counted = count_fills(tmp_path / "goog.dbn")
    assert counted.fills > 7_700
    assert counted.first > 0.998 * counted.fills


@pytest.mark.skipif(not AAPL.exists(), reason=f"real market data is not here: {AAPL}")
def test_aapls_books_are_lobsters(tmp_path: Path) -> None:
    """After each of 999 messages the ten best levels are LOBSTER's, and every message is about an order that is there."""
    counters = check_books(AAPL, AAPL.with_name(AAPL.name.replace("message", "orderbook")), 10, tmp_path / "aapl.dbn")
    assert (counters["messages"], counters["orders_unknown"]) == (999, 0)


@pytest.mark.parametrize("seed", range(12))
def test_books_of_random_markets_are_those_shown(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few levels are shown, and whatever happened out of sight; read in pieces of any size."""
    monkeypatch.setattr(lobster, "CHUNK_ROWS", (7, 1 << 14)[seed % 2])
    market = Market(seed, depth=1 + seed % 4, start=seed * 5).go_on(600)
    path = market.write(tmp_path)
    counters = check_books(path, path.with_name(path.name.replace("message", "orderbook")), market.depth, tmp_path / "made.dbn")
    assert counters["messages"] == len(market.messages)
    assert counters["orders_surfaced"] > 0


def test_where_all_is_seen_every_order_is_itself(tmp_path: Path) -> None:
    """With a book that starts empty and shows all levels, no order stands for another, and each execution is the order's that was hit."""
    market = Market(5, depth=200, start=0).go_on(500)
    output = tmp_path / "made.dbn"
    counters = tl.write_dbn(market.write(tmp_path), output)["counters"]
    assert counters == {**dict.fromkeys(counters, 0), "messages": len(market.messages)}
    records = read(output)[0]
    for action, kind in (("A", 1), ("F", 4)):
        assert records["order_id"][records["action"] == ord(action)].tolist() == [message[2] for message in market.messages if message[1] == kind]


def written(folder: Path, messages: str, books: str | None = None, depth: int = 1) -> Path:
    """Files with this content, rows apart by spaces."""
    path = folder / NAME.format(depth)
    path.write_text(messages.replace(" ", "\n") + "\n")
    if books is not None:
        path.with_name(path.name.replace("message", "orderbook")).write_text(books.replace(" ", "\n") + "\n")
    return path


def plain(path: Path) -> list[tuple]:
    """Action, side, price in 1e-4, size, order, time since the opening in ns, message and flags of a file's records."""
    records = read(path)[0]
    assert set(records["publisher_id"].tolist()) == {2}
    return [
        (
            *(chr(record[name]) for name in ("action", "side")),
            int(record["price"]) // 100_000,
            *(int(record[name]) for name in ("size", "order_id")),
            int(record["ts_event"]) - OPEN,
            *(int(record[name]) for name in ("sequence", "flags")),
        )
        for record in records
    ]


def test_every_type_of_message_becomes_records(tmp_path: Path) -> None:
    """Without order books the book starts empty, which is said; messages about orders before that are left out, but for the trade of an execution."""
    told = [
        "34200.000000001,1,11,300,5850000,1",
        "34200.25,2,11,50,5850000,1",
        "34201,4,11,100,5850000,1",
        "34202,5,0,7,5850050,-1",
        "34203,6,-1,900,5850100,-1",
        "34204,7,0,0,-1,-1",
        "34205,3,11,150,5850000,1",
        "34206,4,9,20,5851000,-1",
        "34207,3,8,20,5851000,-1",
    ]
    path = written(tmp_path, " ".join(told))
    with pytest.warns(UserWarning, match=r"TEST_.*_orderbook_1\.csv is not beside it: the book starts empty, and messages about orders that were there before"):
        counters = tl.write_dbn(path, tmp_path / "made.dbn")["counters"]
    assert counters == {"messages": 9, "orders_at_start": 0, "orders_unknown": 2, "orders_surfaced": 0, "orders_vanished": 0, "halts": 1}
    nothing = (2**63 - 1) // 100_000
    assert plain(tmp_path / "made.dbn") == [
        ("R", "N", nothing, 0, 0, 0, 0, 128),
        ("A", "B", 5_850_000, 300, 11, 1, 1, 128),
        ("C", "B", 5_850_000, 50, 11, 250_000_000, 2, 128),
        ("T", "A", 5_850_000, 100, 0, 10**9, 3, 128),
        ("F", "B", 5_850_000, 100, 11, 10**9, 3, 128),
        ("C", "B", 5_850_000, 100, 11, 10**9, 3, 128),
        ("T", "N", 5_850_050, 7, 0, 2 * 10**9, 4, 128),
        ("T", "N", 5_850_100, 900, 0, 3 * 10**9, 5, 128),
        ("C", "B", 5_850_000, 150, 11, 5 * 10**9, 7, 128),
        ("T", "B", 5_851_000, 20, 0, 6 * 10**9, 8, 128),
    ]


def test_halts_become_a_status_file(tmp_path: Path) -> None:
    """The price of a message of type 7 says what begins: a halt (-1), quotation only (0), trading (1)."""
    path = written(tmp_path, "34200.1,1,11,300,5850000,1 34204,7,0,0,-1,-1 34205,7,0,0,0,-1 34206,7,0,0,1,-1")
    with pytest.warns(UserWarning, match="the book starts empty"):
        made = tl.write_dbn(path, tmp_path / "made.dbn", status=tmp_path / "made.status.dbn")
    assert made["states"] == made["counters"]["halts"] == 3
    phases = read_status([tmp_path / "made.status.dbn"])[2, 1]
    assert [((ts - OPEN) // 10**9, phase) for ts, phase, _ in phases] == [(4, Phase.HALTED), (5, Phase.AUCTION), (6, Phase.TRADING)]


def test_the_start_is_a_snapshot_of_orders_that_are_heard_of(tmp_path: Path) -> None:
    """The first row without its message: orders with the ids that later messages have, oldest first, and behind them one that stands for the rest."""
    told = "34200.1,1,50,100,5850000,1 34200.2,4,7,30,5849900,1 34200.3,3,5,20,5849900,1"
    shown = "5851000,80,5850000,100,5852000,9,5849900,60 5851000,80,5850000,100,5852000,9,5849900,30 5851000,80,5850000,100,5852000,9,5849900,10"
    tl.write_dbn(written(tmp_path, told, shown, depth=2), tmp_path / "made.dbn")
    assert [(action, side, price, size, order, flags) for action, side, price, size, order, _, _, flags in plain(tmp_path / "made.dbn")[1:]] == [
        ("A", "B", 5_849_900, 20, 5, 32),
        ("A", "B", 5_849_900, 30, 7, 32),
        ("A", "B", 5_849_900, 10, UNKNOWN, 32),
        ("A", "A", 5_851_000, 80, UNKNOWN + 1, 32),
        ("A", "A", 5_852_000, 9, UNKNOWN + 2, 160),
        ("A", "B", 5_850_000, 100, 50, 128),
        ("T", "A", 5_849_900, 30, 0, 128),
        ("F", "B", 5_849_900, 30, 7, 128),
        ("C", "B", 5_849_900, 30, 7, 128),
        ("C", "B", 5_849_900, 20, 5, 128),
    ]


def test_what_comes_into_sight_is_put_there(tmp_path: Path) -> None:
    """A level behind the last that was shown appears with its message's event, and what vanished out of sight is taken out when its place is seen again."""
    told = "34201,1,50,100,5850000,1 34202,3,50,100,5850000,1 34203,3,40,60,5849000,1"
    shown = "5851000,80,5850000,100 5851000,80,5849000,60 5851000,80,5848000,25"
    path = written(tmp_path, told, shown)
    counters = tl.write_dbn(path, tmp_path / "made.dbn")["counters"]
    assert counters == {"messages": 3, "orders_at_start": 1, "orders_unknown": 0, "orders_surfaced": 2, "orders_vanished": 0, "halts": 0}
    assert [(action, price, size, order, number) for action, _, price, size, order, _, number, _ in plain(tmp_path / "made.dbn")[2:]] == [
        ("A", 5_850_000, 100, 50, 1),
        ("C", 5_850_000, 100, 50, 2),
        ("A", 5_849_000, 60, 40, 2),
        ("C", 5_849_000, 60, 40, 3),
        ("A", 5_848_000, 25, UNKNOWN + 1, 3),
    ]
    told = "34201,1,50,100,5850000,1 34202,1,51,100,5850100,1 34203,3,51,100,5850100,1"
    shown = "5851000,80,5850000,100 5851000,80,5850100,100 5851000,80,5849000,5"
    counters = tl.write_dbn(written(tmp_path, told, shown), tmp_path / "made.dbn")["counters"]
    assert counters["orders_vanished"] == 1


def test_zips_and_pairs_are_one_input(tmp_path: Path) -> None:
    """A zip is what is in it, and both files may be named, as a pattern does; order books alone, two days, and a zip without messages are refused."""
    path = Market(1, depth=3, start=9).go_on(100).write(tmp_path)
    books = path.with_name(path.name.replace("message", "orderbook"))
    packed = tmp_path / "day.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(path, f"folder/{path.name}")
        archive.write(books, f"folder/{books.name}")
    outputs = [tmp_path / name for name in ("a.dbn", "b.dbn", "c.dbn")]
    for source, output in zip((path, [path, books], packed), outputs, strict=True):
        assert tl.write_dbn(source, output)["instruments"] == {"1": "TEST"}
    assert len({output.read_bytes() for output in outputs}) == 1
    with pytest.raises(tl.ConfigError, match=r"_orderbook_3\.csv: holds LOBSTER's order books: name the message file"):
        tl.write_dbn(books, outputs[0])
    with pytest.raises(tl.ConfigError, match=r"day\.zip: one file of LOBSTER at a time"):
        tl.write_dbn([path, packed], outputs[0])
    with pytest.raises(tl.ConfigError, match=r"date='2012-06-21': is a setting for ITCH, and .*_message_3\.csv is LOBSTER"):
        tl.write_dbn(path, outputs[0], date="2012-06-21")
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(books, books.name)
    with pytest.raises(tl.DataError, match=r"day\.zip: holds 0 of LOBSTER's message files: expected one, such as AAPL_"):
        tl.write_dbn(packed, outputs[0])
    packed.write_bytes(b"PK no more")
    with pytest.raises(tl.DataError, match=r"day\.zip: cannot be read as a zip"):
        tl.write_dbn(packed, outputs[0])


@pytest.mark.filterwarnings("ignore:.*is not beside it")
def test_a_damaged_zip_is_told_whatever_is_damaged(tmp_path: Path) -> None:
    """A changed byte anywhere among a zip's own, or in what is packed, gives the records or a DataError with its path, and nothing else."""
    packed, told = tmp_path / "day.zip", 0
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(NAME.format(3), "".join(f"{34200 + i}.{i * 7919 % 1000:03},1,{i},{1 + i % 7},{5_850_000 + i * i % 900},1\n" for i in range(300)))
    whole = packed.read_bytes()
    for place in (*range(100), *range(len(whole) - 160, len(whole))):
        packed.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            tl.write_dbn(packed, tmp_path / "made.dbn")
        except tl.DataError as error:
            assert "day.zip: " in str(error)  # noqa: PT017 - either is right
            told += 1
    assert told > 100


@pytest.mark.filterwarnings("ignore:.*is not beside it")
def test_a_day_that_there_is_not_is_refused(tmp_path: Path) -> None:
    """A name with a day that no calendar has is told as such."""
    path = tmp_path / NAME.format(3).replace("2012-06-21", "2012-06-31")
    path.write_text("34200.5,1,7,100,5000000,1\n")
    with pytest.raises(tl.ConfigError, match="date='2012-06-31': expected a day"):
        tl.write_dbn(path, tmp_path / "made.dbn")


@pytest.mark.parametrize(
    ("told", "shown", "error"),
    [
        ("34200,1,5,10,5850000,1 34201,1,5,x,5850000,1", "1,1,1,1", "message_1.csv: row 2: size is 'x': expected a number as LOBSTER has there"),
        ("34200,8,5,10,5850000,1", "1,1,1,1", "message_1.csv: row 1: type is '8'"),
        ("134200,1,5,10,5850000,1", "1,1,1,1", "message_1.csv: row 1: time is '134200'"),
        ("34200,1,5,10", "1,1,1,1", "message_1.csv: has 4 columns: expected time, type, order id, size, price, direction"),
        ("34200,1,5,10,5850000,1", "1,1,1", "orderbook_1.csv: has 3 columns: expected four for each level"),
        ("34200,1,5,10,5850000,1", "5851000,?,5850000,10", r"orderbook_1.csv: row 1: ask size 1 is '\?'"),
        ("34200,1,5,10,5850000,1 34201,1,6,10,5850000,1", "5851000,9,5850000,10", "orderbook_1.csv: has less rows than there are messages, 2"),
        ("34200,1,5,10,5850000,1", "5851000,9,5850000,10 5851000,9,5850000,10", "orderbook_1.csv: has more rows than there are messages, 1"),
    ],
)
def test_what_cannot_be_read_is_told(told: str, shown: str, error: str, tmp_path: Path) -> None:
    """The file, the row and what stands there; no file is made."""
    with pytest.raises(tl.DataError, match=error):
        tl.write_dbn(written(tmp_path, told, shown), tmp_path / "made.dbn")
    assert not (tmp_path / "made.dbn").exists()

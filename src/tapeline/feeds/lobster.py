"""LOBSTER's files of a stock's day: messages, and the order book after each of them, made into DBN's records. They are made of Nasdaq's ITCH."""

import itertools
import re
import shutil
import tempfile
import warnings
import weakref
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tapeline.constants import UNDEFINED_PRICE, Action, RecordFlag, Side
from tapeline.errors import ConfigError, DataError
from tapeline.feeds.dbn_kernels import MBO_RTYPE, MBO_WORDS, SIZE_MAX
from tapeline.feeds.itch import day_of, midnight
from tapeline.feeds.itch_kernels import PRICE_UNIT, PUBLISHER_ID
from tapeline.feeds.lobster_book import ADD, ADDED, ASK, BID, DELETED, EXECUTED, UNKNOWN_IDS, Change, Later, Levels, Message, OneSide
from tapeline.feeds.rows import collected
from tapeline.feeds.status import HALT, QUOTING, TRADING, StateChange
from tapeline.schema import MBO

CHUNK_ROWS: Final = 1 << 14
"""Of order books that are numbers in Python, and of records that are, at once."""
_HIDDEN, _CROSS, _HALT = 5, 6, 7
"""LOBSTER's types of other messages."""
_STATES: Final = {-1: HALT, 0: QUOTING, 1: TRADING}
"""What the price of a message about a halt says."""
_NAME: Final = re.compile(r"(?P<symbol>.+)_(?P<day>\d{4}-\d\d-\d\d)_(?P<start>\d+)_\d+_(?P<what>message|orderbook)_\d+\.csv(\.gz|\.zst)?")
_EXAMPLE: Final = "AAPL_2012-06-21_34200000_57600000_message_10.csv"
_COLUMNS: Final = ("time", "type", "order id", "size", "price", "direction")
_OF_LEVEL: Final = ("ask price", "ask size", "bid price", "bid size")
_INSTRUMENT_ID: Final = 1
_MS_NS: Final = 1_000_000
_DAY_NS: Final = 86_400 * 10**9
_TRADE, _FILL, _CLEAR, _NO_SIDE = int(Action.TRADE), int(Action.FILL), int(Action.CLEAR), int(Side.NONE)
_LAST, _SNAPSHOT = int(RecordFlag.LAST), int(RecordFlag.SNAPSHOT)
Row = tuple[int, ...]
"""A record, field by field."""
_EMPTY: Final = Change(_CLEAR, _NO_SIDE, 0, 0, 0)


class LobsterInput:
    """A message file, with the order-book file beside it if there is one, or a zip of both.

    Raises DataError for what cannot be read. Without order books there is no start, which is warned of.
    """

    dataset = "LOBSTER"

    def __init__(self, path: Path) -> None:
        """Read the messages; the order books are read as they are needed."""
        messages = self._extracted(path) if path.suffix == ".zip" else path
        name = _NAME.fullmatch(messages.name)
        if name is None or name["what"] != "message":
            raise ConfigError(f"{path}: holds LOBSTER's order books: name the message file, such as {_EXAMPLE}; the books beside it are found")
        books = messages.with_name(messages.name.replace("_message_", "_orderbook_"))
        self._books = books if books.is_file() else None
        self._midnight = midnight(day_of(name["day"]))
        self.start_ns = self._midnight + int(name["start"]) * _MS_NS
        self.symbols = {_INSTRUMENT_ID: name["symbol"]}
        self._messages = _messages(messages)
        self.bytes_done, self.bytes_total = 0, self._messages.height
        self.changes: list[StateChange] = []
        self.counters = dict.fromkeys(("messages", "orders_at_start", "orders_unknown", "orders_surfaced", "orders_vanished", "halts"), 0)
        """Of messages; of orders with which the book begins; of messages about orders that were not there; of orders with which a level has come into sight,
        or turned out to have more or less than was told."""
        if self._books is None:
            text = (
                f"{path}: {books.name} is not beside it: the book starts empty, and messages about orders that were there before (orders_unknown) are left out"
            )
            warnings.warn(text, stacklevel=1)

    def records(self) -> Iterator[NDArray[np.void]]:
        """All of them, in arrays. Raises DataError where the order books cannot be read, or are not of these messages."""
        rows = self._by_themselves() if self._books is None else self._with_books(self._books)
        while chunk := list(itertools.islice(rows, CHUNK_ROWS)):
            self.bytes_done = self.counters["messages"]
            yield np.array(chunk, MBO)

    def _extracted(self, path: Path) -> Path:
        """The message file of a zip, and its order-book file beside it, unpacked for as long as this is used. Raises DataError where there is none."""
        folder = Path(tempfile.mkdtemp(prefix="tapeline-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        try:
            with zipfile.ZipFile(path) as archive:
                found = {Path(name).name: name for name in archive.namelist() if _NAME.fullmatch(Path(name).name)}
                messages = [name for name in found if "_message_" in name]
                if len(messages) != 1:
                    raise DataError(f"{path}: holds {len(messages)} of LOBSTER's message files: expected one, such as {_EXAMPLE}")
                for name, place in found.items():
                    with archive.open(place) as packed, (folder / name).open("wb") as file:
                        shutil.copyfileobj(packed, file)
        except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:  # all of them are Python's words for a damaged one, or a locked one
            raise DataError(f"{path}: cannot be read as a zip: {str(error) or 'it ends too early'}") from error
        return folder / messages[0]

    def _told(self) -> Iterator[Message]:
        """The messages, one by one."""
        return map(Message._make, self._messages.with_columns(pl.col("time") + self._midnight).iter_rows())

    def _sides(self, depth: int) -> dict[int, OneSide]:
        later, unknown = Later(self._told()), itertools.count(UNKNOWN_IDS)
        return {side: OneSide(side, later, unknown, depth) for side in (BID, ASK)}

    def _by_themselves(self) -> Iterator[Row]:
        """What the messages do."""
        sides = self._sides(0)
        yield _row(_EMPTY, self.start_ns, 0, _LAST)
        for number, message in enumerate(self._told(), 1):
            yield from (_row(change, message.ts, number, _LAST) for change in self._done(message, number, sides))

    def _with_books(self, books: Path) -> Iterator[Row]:
        """What the messages do, and what the book behind each of them shows besides."""
        depth, shown = _shown(books)
        sides = self._sides(depth)
        for number, (message, now) in enumerate(itertools.zip_longest(self._told(), shown), 1):
            if message is None or now is None:
                raise DataError(f"{books}: has {'less' if now is None else 'more'} rows than there are messages, {self.bytes_total:,}: get both files again")
            if number == 1:
                start = [_EMPTY, *(change for side in sides.values() for change in side.start(now[side.side], message))]
                self.counters["orders_at_start"] = len(start) - 1
                yield from (_row(change, self.start_ns, 0, _SNAPSHOT) for change in start[:-1])
                yield _row(start[-1], self.start_ns, 0, _SNAPSHOT | _LAST)
            changes = self._done(message, number, sides)
            others = [change for side in sides.values() for change in side.follow(now[side.side], message, number)]
            surfaced = sum(change.action == ADD for change in others)
            self.counters["orders_surfaced"] += surfaced
            self.counters["orders_vanished"] += len(others) - surfaced
            yield from (_row(change, message.ts, number, _LAST) for change in itertools.chain(changes, others))

    def _done(self, message: Message, number: int, sides: dict[int, OneSide]) -> list[Change]:
        """What a message does, by itself; `number`: of the message, from 1."""
        self.counters["messages"] = number
        ts, kind, order_id, size, price, which = message
        side = sides[which]
        if kind == ADDED:
            return [side.add(order_id, price, size)]
        if kind == _HALT:
            self.counters["halts"] += 1
            if price in _STATES:
                self.changes.append(StateChange(ts, PUBLISHER_ID, _INSTRUMENT_ID, _STATES[price]))
            return []
        if kind in (_HIDDEN, _CROSS):
            return [Change(_TRADE, _NO_SIDE, 0, price, size)]
        if side.has(order_id, price):
            lost = [side.take(order_id, price, SIZE_MAX if kind == DELETED else size)]
        else:
            self.counters["orders_unknown"] += 1
            lost = side.take_any(price, size, number) if self._books else []
        if kind != EXECUTED:
            return lost
        fills = [change._replace(action=_FILL) for change in lost]
        return [Change(_TRADE, BID + ASK - which, 0, price, size), *itertools.chain(*zip(fills, lost, strict=True))]


def is_lobster(path: Path) -> bool:
    """Whether a file is one of LOBSTER's, or a zip, by its name."""
    return path.suffix == ".zip" or _NAME.fullmatch(path.name) is not None


def without_books(paths: list[Path]) -> list[Path]:
    """Files without LOBSTER's order books whose messages are among them, as `AAPL_2012-06-21_*` names both."""
    return [path for path in paths if "_orderbook_" not in path.name or path.with_name(path.name.replace("_orderbook_", "_message_")) not in paths]


def _row(change: Change, ts: int, sequence: int, flags: int) -> Row:
    """A record."""
    action, side, order_id, price, size = change
    place = UNDEFINED_PRICE if action == _CLEAR else price * PRICE_UNIT
    return MBO_WORDS, MBO_RTYPE, PUBLISHER_ID, _INSTRUMENT_ID, ts, order_id, place, size, flags, 0, action, side, ts, 0, sequence


def _messages(path: Path) -> pl.DataFrame:
    """A message file as whole numbers, times in nanoseconds since midnight. Raises DataError, naming the row, for what is no message."""
    text = collected(str(path), lambda: pl.read_csv(path, has_header=False, infer_schema=False, glob=False))
    if text.width < len(_COLUMNS):
        raise DataError(f"{path}: has {text.width} columns: expected {', '.join(_COLUMNS)}")
    text = text.select(pl.col(old).alias(new) for old, new in zip(text.columns, _COLUMNS, strict=False))
    limits = {"time": (0, _DAY_NS), "type": (ADDED, _HALT), "size": (0, SIZE_MAX), "direction": (-1, 1)}
    numbers = text.select(pl.col("time").cast(pl.Decimal(38, 9), strict=False).to_physical(), pl.exclude("time").cast(pl.Int64, strict=False))
    found = numbers.with_columns(pl.when(pl.col(name).is_between(*ends)).then(pl.col(name)).cast(pl.Int64).alias(name) for name, ends in limits.items())
    _check_whole(path, found, text, 0)
    return found.with_columns(pl.when(pl.col("direction") > 0).then(BID).otherwise(ASK).alias("direction"))


def _shown(path: Path) -> tuple[int, Iterator[dict[int, Levels]]]:
    """How many levels an order-book file has, and what it shows after each message. Raises DataError, naming the row, for what is no order book."""
    table = pl.scan_csv(path, has_header=False, infer_schema=False, glob=False)
    columns = collected(str(path), table.collect_schema).names()
    if len(columns) % 4:
        raise DataError(f"{path}: has {len(columns)} columns: expected four for each level, {', '.join(_OF_LEVEL)}")
    table = table.rename({name: f"{_OF_LEVEL[k % 4]} {k // 4 + 1}" for k, name in enumerate(columns)})

    def rows() -> Iterator[dict[int, Levels]]:
        done = 0
        batches = table.collect_batches(chunk_size=CHUNK_ROWS, maintain_order=True)
        while (text := collected(str(path), lambda: next(batches, None))) is not None:
            found = text.select(pl.all().cast(pl.Int64, strict=False))
            _check_whole(path, found, text, done)
            done += text.height
            numbers = found.to_numpy().copy()
            numbers[:, 2::4] *= -1  # bids upside down
            for row in numbers.tolist():
                asks, bids = row[1::4], row[3::4]
                n, m = len(asks) - asks.count(0), len(bids) - bids.count(0)  # behind the last level are places of no size
                yield {BID: (row[2::4][:m], bids[:m]), ASK: (row[0::4][:n], asks[:n])}

    return len(columns) // 4, rows()


def _check_whole(path: Path, found: pl.DataFrame, text: pl.DataFrame, done: int) -> None:
    """Raise DataError, naming the row, the column and what stands there, where a number could not be read."""
    for column in found:
        if column.null_count():
            row = column.is_null().arg_max() or 0
            raise DataError(
                f"{path}: row {done + row + 1:,}: {column.name} is {text[column.name][row]!r}: expected a number as LOBSTER has there. Get it again."
            )

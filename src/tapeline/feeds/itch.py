"""A day of Nasdaq TotalView-ITCH 5.0, as Nasdaq gives it out in files, made into DBN's records."""

import contextlib
import datetime as dt
import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tapeline.errors import ConfigError, DataError, LimitError
from tapeline.feeds.ahead import Buffers, Bytes
from tapeline.feeds.itch_kernels import (
    BAD,
    BYTES_BEHIND,
    CHANGES,
    LENGTHS,
    MORE,
    PUBLISHER_ID,
    ROOM,
    STATE_CHANGE,
    TABLE,
    UNSEEN,
    UNWANTED,
    Itch,
    translate,
)
from tapeline.feeds.status import HALT, PAUSE, QUOTING, TRADING, StateChange
from tapeline.feeds.unpacked import Unpacked
from tapeline.instruments import Name
from tapeline.jit import going
from tapeline.order_table import SLOT, TABLE_BITS_MIN, rehash
from tapeline.pages import reserved
from tapeline.schema import MBO

CHUNK_RECORDS: Final = 1 << 15
"""1.8 MB: stays in the L2 cache between being made and being written."""
CHANGES_AT_ONCE: Final = 1 << 12
"""Trading states that are noted before they are taken away; a day begins with one of each instrument."""
_ACTIONS: Final = {ord("H"): HALT, ord("P"): PAUSE, ord("Q"): QUOTING, ord("T"): TRADING}
"""Of Nasdaq's trading states."""
_BITS_MAX: Final = 36
_COUNTED: Final = ("messages", "messages_unknown", "orders_unreadable", "adds_of_live_reference", "references_unknown", "sizes_oversized")
_DATES: Final = (
    (re.compile(r"(?<!\d)(\d{4})-?(\d\d)-?(\d\d)(?!\d)"), (0, 1, 2)),
    (re.compile(r"(?<!\d)(\d\d)(\d\d)(\d{4})(?!\d)"), (2, 0, 1)),
    (re.compile(r"(?<!\w)S(\d\d)(\d\d)(\d\d)-v50"), (2, 0, 1)),
)
"""How names of files write a date, and where in it year, month and day are: 20200130.BX_ITCH_50, 01302020.NASDAQ_ITCH50, S013020-v50."""
_ORDERS: Final = (b"A", b"F")
_PADDING: Final = np.zeros(BYTES_BEHIND, np.uint8)
_YEARS: Final = range(1990, 2100)


class ItchInput:
    """The messages about some instruments, or all, as records; what becomes of each is told at `itch_kernels`.

    Instruments have the numbers of the day's directory as ids. Raises DataError for what cannot be read, and ConfigError for settings that do not fit.
    """

    dataset = "TAPELINE.ITCH"

    def __init__(self, path: Path, *, instruments: Name | Sequence[Name] | None, date: str | dt.date | None) -> None:
        """Settings as in `write_dbn`."""
        self._file = Unpacked(path)
        day = _day_in(path.name) if date is None else day_of(date)
        if day is None:
            raise ConfigError(f"date: of which day {path} is, its name does not say: give date, such as 2020-01-30")
        self.start_ns = midnight(day)
        """Midnight in New York, from which ITCH's clock counts."""
        listed = _directory(self._file)
        self.symbols = listed if instruments is None else _chosen(path, listed, [instruments] if isinstance(instruments, str | int) else instruments)
        """By id."""
        self._wanted = np.full(1 << 16, UNSEEN if instruments is None else UNWANTED, np.uint8)
        self._wanted[list(self.symbols)] = UNSEEN
        self._kinds = np.zeros(256, np.int64)
        self._itch: Any = Itch(midnight=self.start_ns, room=CHUNK_RECORDS)
        self.changes: list[StateChange] = []
        """Trading states so far."""
        self._noted = np.zeros(CHANGES_AT_ONCE, STATE_CHANGE)
        self._itch.changes, self._itch.changes_room = self._noted.ctypes.data, CHANGES_AT_ONCE
        self._slots = _slots(TABLE_BITS_MIN)
        self._itch.table.lay(self._slots.ctypes.data, TABLE_BITS_MIN)

    @property
    def counters(self) -> dict[str, int]:
        """What was met so far: all messages, and those of which one should know."""
        return {name: int(getattr(self._itch, name)) for name in _COUNTED} | {"trades_broken": int(self._kinds[ord("B")])}

    @property
    def bytes_done(self) -> int:
        """Of the file; about."""
        return self._file.bytes_done

    @property
    def bytes_total(self) -> int:
        """Of the file."""
        return self._file.bytes_total

    def records(self) -> Iterator[NDArray[np.void]]:
        """All of them, in arrays. Raises DataError at damage."""
        itch, buffers = self._itch, Buffers(CHUNK_RECORDS * MBO.itemsize)
        run = going(translate, itch, self._wanted, self._kinds)
        data, offset = _PADDING, 0
        for piece in self._file.pieces():
            data = np.concatenate((data[:-BYTES_BEHIND], piece, _PADDING))
            start, status = data.ctypes.data, ROOM
            itch.position, itch.end = start, start + len(data) - BYTES_BEHIND
            while status != MORE:
                out = buffers.lend().view(MBO)
                itch.out, itch.written = out.ctypes.data, 0
                while (status := run()) in {TABLE, CHANGES}:
                    if status == TABLE:
                        self._grow_table()
                    self._take_changes()
                yield out[: int(itch.written)]
                if status == BAD:
                    raise self._wrong(data, int(itch.position) - start, offset)
            done = int(itch.position) - start
            data, offset = data[done:], offset + done
        self._take_changes()
        if len(data) > BYTES_BEHIND:
            raise DataError(
                f"{self._file.path}: ends inside message {itch.messages + 1:,}: of that message, at byte {offset:,}, only {len(data) - BYTES_BEHIND} bytes "
                "are there. The file is truncated: get it again."
            )

    def _wrong(self, data: Bytes, position: int, offset: int) -> DataError:
        """The error for a message that ITCH 5.0 has not, at a position of data that begin at an offset of the file."""
        length, kind = int.from_bytes(data[position : position + 2].tobytes()), int(data[position + 2])
        return DataError(
            f"{self._file.path}: message {self._itch.messages + 1:,}, at byte {offset + position:,}, is of type {chr(kind)} and has {length} bytes, where "
            f"ITCH 5.0 has {LENGTHS[kind]}: the file is damaged there, or of another version. Get it again."
        )

    def _take_changes(self) -> None:
        """What was noted of trading states is kept; one that ITCH 5.0 does not know changes nothing."""
        for ts, instrument, state in self._noted[: int(self._itch.changes_n)].tolist():
            if state in _ACTIONS:
                self.changes.append(StateChange(ts, PUBLISHER_ID, instrument, _ACTIONS[state]))
        self._itch.changes_n = 0

    def _grow_table(self) -> None:
        """Twice the slots for the orders that rest."""
        bits = int(self._itch.table.bits) + 1
        if bits > _BITS_MAX:
            raise LimitError(f"{self._file.path}: has more orders at once than a table of 2^{_BITS_MAX} slots holds")
        slots = _slots(bits)
        rehash(self._itch.table, slots.ctypes.data, bits)
        self._slots = slots


def is_itch(path: Path) -> bool:
    """Whether a file begins as one of messages does: with a length that is right for the type behind it."""
    head = b""
    with contextlib.closing(Unpacked(path).pieces()) as pieces:
        while len(head) < 3 and (piece := next(pieces, None)) is not None:
            head += piece[:3].tobytes()
    return len(head) >= 3 and LENGTHS[head[2]] == int.from_bytes(head[:2]) > 0


def _slots(bits: int) -> NDArray[np.uint8]:
    """Memory for an order table: pages of its own, so that its buckets are cache lines."""
    return reserved(SLOT.itemsize << bits)


def midnight(day: dt.date) -> int:
    """The day's midnight in New York, in nanoseconds since 1970. Polars knows time zones where the system does not."""
    start: int = pl.select(pl.datetime(day.year, day.month, day.day, time_zone="America/New_York", time_unit="ns").dt.epoch("ns")).item()
    return start


def day_of(date: str | dt.date) -> dt.date:
    """A day as a user gives it. Raises ConfigError for what is none."""
    try:
        day = date if isinstance(date, dt.date) else dt.date.fromisoformat(date)
    except (TypeError, ValueError):
        raise ConfigError(f"date={date!r}: expected a day, such as 2020-01-30") from None
    if day.year not in _YEARS:
        raise ConfigError(f"date={date!r}: expected a day from {_YEARS[0]} to {_YEARS[-1]}, such as 2020-01-30")
    return day


def _day_in(name: str) -> dt.date | None:
    """The day that a file's name tells, in whichever order."""
    for pattern, order in _DATES:
        for match in pattern.finditer(name):
            year, month, day = (int(match.group(1 + place)) for place in order)
            with contextlib.suppress(ValueError):
                found = dt.date(year + (2000 if year < 100 else 0), month, day)
                if found.year in _YEARS:
                    return found
    return None


def _directory(file: Unpacked) -> dict[int, str]:
    """The instruments of the day, by number: they are told before the first order."""
    listed: dict[int, str] = {}
    data = b""
    with contextlib.closing(file.pieces()) as pieces:
        for piece in pieces:
            data, position = data + piece.tobytes(), 0
            while (end := position + 2 + int.from_bytes(data[position : position + 2])) <= len(data) and position + 2 <= len(data):
                message, position = data[position + 2 : end], end
                if message[:1] in _ORDERS:
                    return listed
                if message[:1] == b"R":
                    listed.setdefault(int.from_bytes(message[1:3]), message[11:19].decode("latin-1").strip())
            data = data[position:]
    return listed


def _chosen(path: Path, listed: dict[int, str], instruments: Sequence[Name]) -> dict[int, str]:
    """The instruments asked for. Raises ConfigError for those that there are not."""
    numbers = {symbol: number for number, symbol in listed.items()}
    chosen: dict[int, str] = {}
    for name in instruments:
        number = numbers.get(str(name), int(name) if str(name).isdecimal() else None)
        if number not in listed:
            near = difflib.get_close_matches(str(name), numbers, n=3)
            hint = f"; there are {', '.join(near)}" if near else ""
            raise ConfigError(f"instruments: {name!r} is not among the {len(listed):,} of the directory of {path}{hint}")
        chosen[number] = listed[number]
    if not chosen:
        raise ConfigError("instruments: names none: leave it out, and all are made DBN of")
    return chosen

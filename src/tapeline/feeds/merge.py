"""Files of the same time, of one instrument or venue each, as one: their records in the order in which they were received."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

import databento_dbn
import numpy as np
from numpy.typing import NDArray

from tapeline.constants import TIME_END, UNDEFINED_TIMESTAMP, RecordFlag
from tapeline.errors import ConfigError, DataError
from tapeline.feeds.dbn import DbnFile, DbnInput, Records, mapped_symbols, records
from tapeline.feeds.dbn_write import Interval, metadata_of
from tapeline.schema import MBO

PIECE: Final = 1 << 16
"""Records of each file that are looked at together: memory is a matter of how many files there are, not of how long they are."""
_WHOLE: Final = np.dtype((np.void, MBO.itemsize))
"""Records as bytes: NumPy copies those of named fields field by field."""


class Stream:
    """One of the files: its next records, and the times by which they have their place among those of others.

    A file keeps its own order: a record that is earlier than one before it, or has no time, has that one's place.
    """

    def __init__(self, source: DbnInput) -> None:
        """At its beginning."""
        (self.file,) = source.files
        self.path = self.file.path
        self.is_done = False
        """Whether no more follows behind what is held."""
        self.latest = 0
        """The time of the last record that is held, or was."""
        self.late = 0
        """Records so far that were earlier than one before them."""
        self.keys: set[int] = set()
        """publisher_id << 32 | instrument_id of the records so far."""
        self._read = 0
        self._pieces = (run[i : i + PIECE] for run, _ in records(source) for i in range(0, len(run), PIECE))
        self._held = np.empty(0, _WHOLE)
        self._times = np.empty(0, np.int64)

    def __len__(self) -> int:
        """How many records are held."""
        return len(self._held)

    def read_on(self) -> None:
        """Hold some more. Raises DataError where the file is damaged, or has a time that is none."""
        piece = next(self._pieces, None)
        if piece is None:
            self.is_done = True
            return
        given = piece["ts_recv"]
        is_time = (given >= 0) & (given < TIME_END)
        if (is_wrong := ~is_time & (given != UNDEFINED_TIMESTAMP) & (piece["flags"] & RecordFlag.SNAPSHOT == 0)).any():
            place = int(np.argmax(is_wrong))
            raise DataError(
                f"{self.path}: record {self._read + place + 1:,}: its ts_recv, {int(given[place]) % 2**64}, is no time: nobody knows between which others it "
                "belongs. The file is damaged there. Get it again."
            )
        times = np.maximum.accumulate(np.maximum(np.where(is_time, given, 0), self.latest))
        self.latest = int(times[-1])
        self.late += int(np.count_nonzero(is_time & (given < times)))
        self.keys.update(np.unique(piece["publisher_id"].astype(np.int64) << 32 | piece["instrument_id"]).tolist())
        self._read += len(piece)
        self._held, self._times = np.concatenate((self._held, piece.view(_WHOLE))), np.concatenate((self._times, times))

    def take(self, until: int) -> tuple[Records, NDArray[np.int64]]:
        """The records before a time, with their times; they are held no more."""
        n = int(np.searchsorted(self._times, until))
        taken = self._held[:n], self._times[:n]
        self._held, self._times = self._held[n:], self._times[n:]
        return taken


def in_order(streams: Sequence[Stream]) -> Iterator[Records]:
    """The records of all files by `ts_recv`, in arrays; of those at one time, the first file's come first.

    Raises DataError where a file is damaged, and ConfigError where an instrument is in two of them.
    """
    while True:
        for stream in streams:
            if not len(stream) and not stream.is_done:
                stream.read_on()
        _check_apart(streams)
        until = min((stream.latest for stream in streams if not stream.is_done), default=TIME_END)  # what is to come may be as early
        parts = [stream.take(until) for stream in streams]
        if times := [times for _, times in parts if len(times)]:
            found = np.concatenate([found for found, _ in parts])
            yield found[np.argsort(np.concatenate(times), kind="stable")].view(MBO)
            continue
        waited_for = [stream for stream in streams if not stream.is_done and stream.latest == until]
        if not waited_for:
            return
        for stream in waited_for:
            stream.read_on()


def _check_apart(streams: Sequence[Stream]) -> None:
    """Raise ConfigError for an instrument that is in two files: its book would be made of both."""
    owner: dict[int, Stream] = {}
    for stream in streams:
        for key in stream.keys:
            if (other := owner.setdefault(key, stream)) is not stream:
                raise ConfigError(
                    f"{other.path} and {stream.path} both have instrument {key & 0xFFFFFFFF} of publisher {key >> 32}: files of one instrument follow each "
                    "other in time, and are given to a run as a list; merged are files of different instruments"
                )


def merged_metadata(files: Sequence[DbnFile]) -> tuple[databento_dbn.Metadata, dict[int, list[str]]]:
    """What the metadata of several files says together; and the ids that stand for one symbol in one, and for another in another.

    These have no symbol then: metadata does not tell venues apart.
    """
    all_of_them = [file.metadata for file in files if file.metadata is not None]
    names: dict[int, set[frozenset[str]]] = {}
    for metadata in all_of_them:
        for instrument_id, own in _names(metadata).items():
            names.setdefault(instrument_id, set()).add(own)
    ambiguous = {instrument_id: sorted(frozenset().union(*sets)) for instrument_id, sets in names.items() if len(sets) > 1}
    mappings: dict[str, list[Interval]] = {}
    for symbol, given in chain.from_iterable(metadata.mappings.items() for metadata in all_of_them):
        spans = (Interval(span["start_date"], span["end_date"], span["symbol"]) for span in given)
        mappings.setdefault(symbol, []).extend(span for span in spans if not (span.symbol.isdecimal() and int(span.symbol) in ambiguous))
    datasets, kinds = {metadata.dataset for metadata in all_of_them}, {metadata.stype_in for metadata in all_of_them}
    return metadata_of(
        "mbo",
        dataset=datasets.pop() if len(datasets) == 1 else "",
        stype_in=kinds.pop() if len(kinds) == 1 else None,
        mappings={symbol: spans for symbol, spans in mappings.items() if spans},
        start_ns=min((metadata.start for metadata in all_of_them), default=0),
        end_ns=max((metadata.end for metadata in all_of_them if metadata.end), default=None),
    ), ambiguous


def _names(metadata: databento_dbn.Metadata) -> dict[int, frozenset[str]]:
    """The symbols of each id."""
    found: dict[int, set[str]] = {}
    for instrument_id, symbol in mapped_symbols(metadata):
        found.setdefault(instrument_id, set()).add(symbol)
    return {instrument_id: frozenset(symbols) for instrument_id, symbols in found.items()}

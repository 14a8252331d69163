"""What can be read: DBN files, or a tape made of them. Everything that takes data takes either."""

import contextlib
import itertools
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from tapeline.constants import UNDEFINED_TIMESTAMP
from tapeline.delays import is_integer
from tapeline.errors import ConfigError, DataError
from tapeline.feeds.dbn import DbnInput, records
from tapeline.feeds.definitions import Definition, instruments_of, read_definitions
from tapeline.feeds.status import read_status
from tapeline.files import path_of
from tapeline.forks import check_fork
from tapeline.instruments import Instrument, Instruments
from tapeline.keywords import checked
from tapeline.tape.file import TapeInput, is_tape

if TYPE_CHECKING:
    from tapeline.tape.player import TapePlayer
    from tapeline.tape.read_ahead import ReadAhead
    from tapeline.tape.reader import TapeReader

FEED_TIMES = ("received", "sent")
Data = str | Path | Sequence[str | Path]
Input = DbnInput | TapeInput
Reader = Union["TapeReader", "TapePlayer", "ReadAhead"]


def paths_of(data: Data, setting: str = "data") -> list[Path]:
    """One or several files as a list. Raises ConfigError, naming `setting`, if there is none, or something else."""
    given = [data] if isinstance(data, str | os.PathLike) else list(data) if isinstance(data, Iterable) else [data]
    if not all(isinstance(path, str | os.PathLike) for path in given):
        raise ConfigError(f"{setting}={data!r}: expected the path of a file, or a list of them")
    if not given:
        raise ConfigError(f"{setting}: expected at least one file")
    return [path_of(path, setting) for path in given]


def open_input(data: Data) -> Input:
    """DBN files in order, or one tape. Raises ConfigError where tapes stand beside other files, and DataError for what cannot be opened."""
    check_fork()
    paths = paths_of(data)
    tapes = [path for path in paths if is_tape(path)]
    if not tapes:
        source = DbnInput(paths)
        _check_schema(source)
        if len(paths) > 1:
            _check_order(source)
        return source
    if len(paths) > 1:
        raise ConfigError(f"{tapes[0]}: a tape is an input of its own: make one tape of all the files, in order: tapeline tape IN… -o")
    return TapeInput(paths[0])


def _check_schema(source: DbnInput) -> None:
    """Raise DataError for a file whose metadata names another schema than mbo: it has no orders, and a run over it would do nothing."""
    for file in source.files:
        schema = file.metadata.schema if file.metadata is not None else None  # none: a live feed's, which may mix them
        if schema not in (None, "mbo"):
            raise DataError(f"{file.path}: holds records of schema '{schema}': expected 'mbo', the only one that has the orders of a book")


def _check_order(source: DbnInput) -> None:
    """Warn of files that are not in order of time: the same one twice, days the wrong way round, or one file per instrument or venue."""
    for (before, first), (path, start) in itertools.pairwise([(file.path, _first_time(file.path)) for file in source.files]):
        if first is not None and start is not None and start <= first:
            times = f"{np.datetime64(start, 'ns')}, no later than {before} ({np.datetime64(first, 'ns')})"
            text = f"{path} starts at {times}: files are read one after the other, as named (tapeline merge: those of one time)"
            warnings.warn(text, stacklevel=1)  # one place, so that Python tells it once


def _first_time(path: Path) -> int | None:
    """The first `ts_recv` of a file; None where there is none, or none that can be read: that is told when its turn comes."""
    with contextlib.suppress(DataError):
        for run, _ in records(DbnInput([path])):
            known = run["ts_recv"][run["ts_recv"] != UNDEFINED_TIMESTAMP]
            return int(known[0]) if len(known) else None
    return None


@checked
def registry(  # noqa: PLR0913 - settings by keyword, as in Backtest
    source: Input,
    *,
    tick_size: Any = None,
    definitions: Any = None,
    instruments: Any = None,
    multiplier: Any = None,
    fees: Any = (),
    status: Any = None,
    exclude_orders: Any = None,
    feed_time: Any = None,
) -> Instruments:
    """The instruments of an input. `definitions`: a definition file, or several; `status`: likewise; `fees`: each setting of them by instrument."""
    known: dict[Any, Definition] = {}
    if isinstance(source, TapeInput):
        known = {tape.key: _definition(tape) for tape in source.instruments}
    for path in paths_of(definitions, "definitions") if definitions is not None else []:
        known |= read_definitions(path)
    found = instruments_of(source, tick_size=tick_size, definitions=known, multiplier=multiplier, fees=fees, only=_names(instruments))
    found.excluded_orders = order_ids(exclude_orders if exclude_orders is not None else ())
    if found.excluded_orders and isinstance(source, TapeInput):
        raise ConfigError(f"{source.path}: exclude_orders: a tape does not know order ids; run on the DBN files")
    found.from_sending = _feed_time(source, feed_time) == "sent"
    if status is not None:
        found.schedule(read_status(paths_of(status, "status")))
    return found


def _names(instruments: Any) -> list[Any] | None:
    """The instruments asked for, of which one may stand alone; None: all. Raises ConfigError for what is no list."""
    if instruments is None or isinstance(instruments, str) or is_integer(instruments):
        return None if instruments is None else [instruments]
    try:
        return list(instruments)
    except TypeError:
        raise ConfigError(f"instruments={instruments!r}: expected a list of symbols and ids, such as ['ESH4']") from None


def order_ids(ids: Iterable[int]) -> frozenset[int]:
    """Ids of orders as a set. Raises ConfigError for what is no id."""
    try:
        given = list(ids)
    except TypeError:
        raise ConfigError(f"exclude_orders={ids!r}: expected the ids of orders, whole numbers") from None
    for one in given:
        if not is_integer(one) or not 0 <= one < 2**64:
            raise ConfigError(f"exclude_orders: {one!r} is no order id: expected whole numbers from 0 to 2^64 - 1")
    return frozenset(map(int, given))


def _feed_time(source: Input, feed_time: Any) -> Any:
    """Which time of a record the feed's latency is added to. Raises ConfigError for what is none, and for another than a tape was made with."""
    if feed_time not in (None, *FEED_TIMES):
        raise ConfigError(f"feed_time={feed_time!r}: expected 'received' or 'sent'")
    if isinstance(source, TapeInput) and feed_time not in (None, source.feed_time):
        raise ConfigError(f"{source.path}: was made with feed_time={source.feed_time!r}: leave feed_time out, or make a tape with feed_time={feed_time!r}")
    return feed_time


def _definition(tape: Any) -> Definition:
    return Definition(
        publisher_id=tape.publisher_id,
        instrument_id=tape.instrument_id,
        symbol=tape.symbol,
        min_price_increment=tape.grid,
        multiplier=tape.multiplier,
        currency=tape.currency,
        match_algorithm="F",
        expiration=None,
    )


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def cores_used() -> int:
    """How many threads read and look at the market: two, if there are as many cores."""
    return min(cores(), 2)


def reader_of(source: Input, instruments: Instruments, on_instrument: Callable[[Instrument], None], *, threads: int = 1) -> Reader:
    """What gives out the tape events of an input; with two threads, DBN is normalised on the second."""
    if isinstance(source, TapeInput):
        from tapeline.tape.player import TapePlayer  # noqa: PLC0415 - imports Numba

        return TapePlayer(source, instruments, on_instrument)
    if threads > 1:
        from tapeline.tape.read_ahead import ReadAhead  # noqa: PLC0415 - same

        return ReadAhead(source, instruments, on_instrument)
    from tapeline.tape.reader import TapeReader  # noqa: PLC0415 - same

    return TapeReader(source, instruments, on_instrument)

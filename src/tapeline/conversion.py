"""Other data to DBN, DBN of one time to one file, DBN to tape."""

import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from tapeline.backtest import Progress
from tapeline.errors import ConfigError
from tapeline.feeds.dbn import Records
from tapeline.feeds.dbn_write import write_arrays, write_mbo
from tapeline.feeds.definitions import read_definitions
from tapeline.feeds.merge import Stream, in_order, merged_metadata
from tapeline.feeds.rows import Rows, files_of
from tapeline.feeds.sources import open_source
from tapeline.feeds.status import write_status
from tapeline.files import end_of, path_of
from tapeline.forks import check_fork
from tapeline.inputs import Data, open_input, paths_of, registry
from tapeline.instruments import Instrument, Multiplier, Name, Tick, TickSize
from tapeline.keywords import checked
from tapeline.manifest import fingerprint, plain, versions
from tapeline.schema import MBO
from tapeline.tape.file import TapeInput, writing
from tapeline.tape.reader import TapeReader


@checked
def write_dbn(  # noqa: PLR0913 - settings by keyword, as in write_tape
    source: Rows,
    output: str | Path,
    *,
    symbol: str | None = None,
    price_unit: Tick | None = None,
    lot: Tick | None = None,
    instruments: Name | Sequence[Name] | None = None,
    date: str | dt.date | None = None,
    status: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Make a DBN file, schema `mbo`, of what is not DBN: a day of Nasdaq's ITCH, LOBSTER's files, or rows of a table.

    **ITCH**: a file of TotalView-ITCH 5.0 as Nasdaq gives them out, each message behind its length; plain, gzip or zstd. `instruments`: the symbols wanted, all
    if none are named. `date`: the day, where the file's name does not tell it. Messages become records as Databento makes them: an E or C is a T, the F of the
    order that was hit, and a C (no T, if it is not printable); a U is a C and an A; P and Q are a T of no side. Prices, sizes, order ids and sequence numbers
    (which message of the file) are the day's own, instrument ids its directory's, and `ts_recv` is `ts_event`.

    **LOBSTER**: a message file, under the name that LOBSTER gave it, or a zip. With the order-book file beside it, the best levels are LOBSTER's after every
    message: orders that are not told of make up what its book shows besides. Those that a later message names have their ids; the others, ids from 2^63
    on, of which nobody knows how many they were, or where in the queue. Without that file the book starts empty, and what is told of other orders is left out.

    **Rows**: a polars frame, or CSV or Parquet files, such as Databento's own CSV, in the order in which they were received. A row says what a record does, in
    columns of its names (Databento, "MBO schema"); other columns are ignored.

    - `ts_event`, `ts_recv` (default: `ts_event`): times, in UTC where they have no zone; text in ISO 8601; or whole nanoseconds since 1970.
    - `action`: A adds an order; C takes `size` off it; M sets its price and size; F says that `size` of it was executed, which a C or M then takes off; T is a
      trade; R empties the book; N is nothing. `side`: B or A; of a T the aggressor's; N or null where there is none.
    - `price`: as it is written, exact to 1e-9, null where there is none. Whole numbers need `price_unit`, what 1 of them is worth: 1, 0.0001, or 1e-9 as in
      `tapeline.depth`. `size`: a multiple of `lot` (default 1), which becomes 1, such as 1e-8 of a coin; a run then has that as its multiplier.
    - `order_id`: whole numbers; ids that are text become some by `pl.col("order_id").hash()`.
    - `symbol` or `instrument_id` or both, unless `symbol=` names the only instrument.
    - Whole numbers that may be left out: `sequence`, `flags` (128, the default: the row ends an event, though a next one of the same instrument, time and
      sequence goes on with it; 32: it belongs to a snapshot), `publisher_id`, `channel_id`, `ts_in_delta`.

    `status`: a second DBN file to write, schema `status`, of what ITCH and LOBSTER tell of halts, pauses, quotation-only periods and resumptions, for
    `Backtest(status=…)`.

    The input is read a piece at a time, rows twice. Returns what was written, and `counters` of what was met. Raises DataError for what cannot be read, naming
    the row or message (the first is 1) and what is wrong, and ConfigError for settings; the file appears when it is complete.
    """
    check_fork()
    output = path_of(output, "output")
    states = None if status is None else path_of(status, "status")
    for path in (output, *(() if states is None else (states,))):
        _check_dbn(path, files_of(source))
    if states is not None and end_of(states) == end_of(output):
        raise ConfigError(f"status={str(status)!r}: is the output, too: name another file")
    started = time.perf_counter()
    opened = open_source(source, symbol=symbol, price_unit=price_unit, lot=lot, instruments=instruments, date=date)
    if states is not None and opened.changes is None:
        raise ConfigError(f"status={status!r}: rows tell nothing of halts: leave it out")
    arrays = _told(opened.records(), progress, lambda _: (opened.bytes_done, opened.bytes_total))
    described: dict[str, Any] = {"dataset": opened.dataset, "symbols": opened.symbols, "start_ns": opened.start_ns}
    records = write_mbo(output, arrays, **described)
    made = {"output": str(output), "bytes": output.stat().st_size, "records": records, "seconds": time.perf_counter() - started}
    if states is not None:
        made |= {"status": str(states), "states": write_status(states, opened.changes or (), **described)}
    return {**made, "instruments": {str(number): name for number, name in opened.symbols.items()}, "counters": dict(opened.counters)}


def _told(arrays: Iterator[Records], progress: Callable[[Progress], None] | None, place: Callable[[int], tuple[int, int | None]]) -> Iterator[Records]:
    """The same arrays; `progress` is told after each. `place`: bytes of the input done and in all, by the number of records so far."""
    started, done = time.perf_counter(), 0
    for array in arrays:
        yield array
        done += len(array)
        if progress is not None:
            progress(Progress(done, *place(done), time.perf_counter() - started))


@checked
def merge(files: Sequence[str | Path], output: str | Path, *, progress: Callable[[Progress], None] | None = None) -> dict[str, Any]:
    """Make one DBN file of several of the same time, such as one per instrument, or one per venue: their records in the order of `ts_recv`.

    `files`: DBN files of schema `mbo`, `.dbn` or `.dbn.zst`, no instrument in two of them. Each keeps its own order, even where its `ts_recv` runs back;
    records of one time are in the order of `files`. Days are merged each by itself, and given to a run as a list. Where two venues were recorded at different
    places, their `ts_recv` are those of different clocks.

    Records of other schemas are left out; definition and status files need no merging: a run takes lists of them.

    Returns what was written, with `records_late`, how many records were earlier than one before them in their file, and `symbols_dropped`, ids that stand for
    one symbol in one file and for another in another. Those are named by (publisher_id, instrument_id) from then on, for DBN's metadata cannot say which
    is whose; definitions can. Raises ConfigError for an instrument in two files, and DataError for what cannot be read; the file appears when it is complete.
    """
    check_fork()
    output, paths = path_of(output, "output"), paths_of(files, "files")
    _check_dbn(output, paths)
    started, streams = time.perf_counter(), []
    for path in paths:
        if isinstance(source := open_input(path), TapeInput):
            raise ConfigError(f"{path}: is a tape: merge the DBN files, and make a tape of what comes of it")
        streams.append(Stream(source))
    metadata, ambiguous = merged_metadata([stream.file for stream in streams])
    total = None if any(stream.file.is_compressed for stream in streams) else sum(path.stat().st_size for path in paths)
    records = write_arrays(output, _told(in_order(streams), progress, lambda n: (n * MBO.itemsize, total)), metadata)
    keys = {key for stream in streams for key in stream.keys}
    ids = {key & 0xFFFFFFFF for key in keys}
    return {
        "output": str(output),
        "bytes": output.stat().st_size,
        "records": records,
        "seconds": time.perf_counter() - started,
        "instruments": len(keys),
        "records_late": sum(stream.late for stream in streams),
        "symbols_dropped": {i: symbols for i, symbols in ambiguous.items() if i in ids},
    }


@checked
def write_tape(  # noqa: PLR0913 - settings by keyword, as in Backtest
    data: Data,
    output: str | Path,
    *,
    tick_size: TickSize | None = None,
    definitions: Data | None = None,
    instruments: Sequence[str | int] | None = None,
    multiplier: Multiplier | None = None,
    feed_time: Literal["received", "sent"] = "received",
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Make a tape of DBN files: what the normaliser makes of them, to be given wherever DBN files are, with the same results.

    Settings as in Backtest: the grid of prices is the tape's from then on; `instruments` says what is on it, and in which order. Returns its header, without
    the list of batches. Raises DataError where the input is damaged: there are no tapes of half a day.
    """
    output = path_of(output, "output")
    source = open_input(data)
    if isinstance(source, TapeInput):
        raise ConfigError(f"{source.path}: is a tape already")
    _check_apart(output, [*paths_of(data), *(paths_of(definitions) if definitions is not None else ())], "tape")
    sources = [fingerprint(path) for path in paths_of(data)]  # now: they may change, or vanish, while they are read
    started = time.perf_counter()
    settings = {"tick_size": tick_size, "definitions": definitions, "instruments": instruments, "feed_time": feed_time}
    known = registry(source, multiplier=1.0 if multiplier is None else multiplier, **settings)  # 1.0: no money is counted here
    multipliers = _multipliers(definitions) if definitions is not None else {}
    opened: list[dict[str, Any]] = []
    with writing(output) as writer:

        def on_instrument(instrument: Instrument) -> None:
            own = instrument.multiplier if multiplier is not None else multipliers.get(instrument.key)
            names = ("publisher_id", "instrument_id", "symbol", "grid", "currency")
            opened.append({**{name: getattr(instrument, name) for name in names}, "multiplier": own, "opened_at": writer.events})

        reader = TapeReader(source, known, on_instrument)
        for n, span in reader.chunks():
            writer.add(reader.events_address, n)
            if progress is not None:
                progress(Progress(reader.records, reader.records * span.stride, None, time.perf_counter() - started))
        on_it = source.symbols if instruments is None else {entry["instrument_id"] for entry in opened}
        header = {
            "instruments": opened,
            "symbols": {str(i): symbol for i, symbol in source.symbols.items() if i in on_it},
            "counters": reader.counters,
            "sources": sources,
            "settings": plain(settings),
            "versions": versions(),
        }
        writer.finish(header)
    return {"output": str(output), "bytes": output.stat().st_size, "events": writer.events, "seconds": time.perf_counter() - started, **header}


def _check_dbn(output: Path, paths: Sequence[Path]) -> None:
    """Raise ConfigError for an output whose name is not that of a DBN file, or that is one of what it is to be made of."""
    if not output.name.endswith((".dbn", ".dbn.zst")):
        raise ConfigError(f"{output}: expected a file that ends in .dbn or .dbn.zst")
    _check_apart(output, paths, "file")


def _check_apart(output: Path, paths: Sequence[Path], made: str) -> None:
    """Raise ConfigError for an output that is one of what it is to be made of."""
    if end_of(output) in map(end_of, paths):
        raise ConfigError(f"{output}: is what the {made} is to be made of: name another file")


def _multipliers(definitions: Data) -> dict[Any, float | None]:
    return {key: definition.multiplier for path in paths_of(definitions) for key, definition in read_definitions(path).items()}

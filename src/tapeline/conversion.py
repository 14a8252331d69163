"""Rows to DBN, DBN to tape."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from tapeline.backtest import Progress
from tapeline.errors import ConfigError
from tapeline.feeds.dbn_write import write_mbo
from tapeline.feeds.definitions import read_definitions
from tapeline.feeds.rows import Rows, RowsInput, files_of
from tapeline.forks import check_fork
from tapeline.inputs import Data, open_input, paths_of, registry
from tapeline.instruments import Instrument, Tick, TickSize
from tapeline.manifest import fingerprint, plain, versions
from tapeline.schema import MBO
from tapeline.tape.file import TapeInput, writing
from tapeline.tape.reader import TapeReader

DATASET: Final = "TAPELINE.ROWS"


def write_dbn(  # noqa: PLR0913 - settings by keyword, as in write_tape
    rows: Rows,
    output: str | Path,
    *,
    symbol: str | None = None,
    price_unit: Tick | None = None,
    lot: Tick = 1,
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Make a DBN file, schema `mbo`, of rows in the order in which they were received: a polars frame, or CSV or Parquet files, such as Databento's own CSV.

    A row says what a record of that schema does, in columns of its names (Databento, "MBO schema"); other columns are ignored.

    - `ts_event`, `ts_recv` (default: `ts_event`): times, in UTC where they have no zone; text in ISO 8601; or whole nanoseconds since 1970.
    - `action`: A adds an order; C takes `size` off it; M sets its price and size; F says that `size` of it was executed, which a C or M then takes off; T is a
      trade; R empties the book; N is nothing. `side`: B or A; of a T the aggressor's; N or null where there is none.
    - `price`: as it is written, exact to 1e-9, null where there is none. Whole numbers need `price_unit`, what 1 of them is worth: 1, 0.0001, or 1e-9 as in
      `tapeline.depth`. `size`: a multiple of `lot`, which becomes 1, such as 1e-8 of a coin; a run then has that as its multiplier.
    - `order_id`: whole numbers; ids that are text become some by `pl.col("order_id").hash()`.
    - `symbol` or `instrument_id` or both, unless `symbol=` names the only instrument.
    - Whole numbers that may be left out: `sequence`, `flags` (128, the default: the row ends an event, though a next one of the same instrument, time and
      sequence goes on with it; 32: it belongs to a snapshot), `publisher_id`, `channel_id`, `ts_in_delta`.

    The input is read twice, a piece at a time. Returns what was written. Raises DataError for what cannot be read, naming the row (the
    first is 1) and the column, and ConfigError for settings; the file appears when it is complete.
    """
    check_fork()
    output = Path(output)
    if not output.name.endswith((".dbn", ".dbn.zst")):
        raise ConfigError(f"{output}: expected a file that ends in .dbn or .dbn.zst")
    _check_apart(output, files_of(rows), "file")
    started = time.perf_counter()
    source = RowsInput(rows, symbol=symbol, price_unit=price_unit, lot=lot)
    done = 0

    def arrays() -> Iterator[NDArray[np.void]]:
        nonlocal done
        for array in source.records():
            yield array
            done += len(array)
            if progress is not None:
                progress(Progress(done, done * MBO.itemsize, source.rows * MBO.itemsize, time.perf_counter() - started))

    records = write_mbo(output, arrays(), dataset=DATASET, symbols=source.symbols, start_ns=source.start_ns)
    instruments = {str(number): symbol for number, symbol in source.symbols.items()}
    return {"output": str(output), "bytes": output.stat().st_size, "records": records, "seconds": time.perf_counter() - started, "instruments": instruments}


def write_tape(  # noqa: PLR0913 - settings by keyword, as in Backtest
    data: Data,
    output: str | Path,
    *,
    tick_size: TickSize | None = None,
    definitions: Data | None = None,
    instruments: Sequence[str | int] | None = None,
    multiplier: float | None = None,
    feed_time: Literal["received", "sent"] = "received",
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Make a tape of DBN files: what the normaliser makes of them, to be given wherever DBN files are, with the same results.

    Settings as in Backtest: the grid of prices is the tape's from then on; `instruments` says what is on it, and in which order. Returns its header, without
    the list of batches. Raises DataError where the input is damaged: there are no tapes of half a day.
    """
    output = Path(output)
    source = open_input(data)
    if isinstance(source, TapeInput):
        raise ConfigError(f"{source.path}: is a tape already")
    _check_apart(output, [*paths_of(data), *(paths_of(definitions) if definitions is not None else ())], "tape")
    sources = [fingerprint(path) for path in paths_of(data)]  # now: they may change, or vanish, while they are read
    started = time.perf_counter()
    settings = {"tick_size": tick_size, "definitions": definitions, "instruments": instruments, "feed_time": feed_time}
    known = registry(source, multiplier=1.0 if multiplier is None else multiplier, **settings)  # no money is counted here
    multipliers = _multipliers(definitions) if definitions is not None else {}
    opened: list[dict[str, Any]] = []
    with writing(output) as writer:

        def on_instrument(instrument: Instrument) -> None:
            own = multiplier if multiplier is not None else multipliers.get(instrument.key)
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


def _check_apart(output: Path, paths: Sequence[Path], made: str) -> None:
    """Raise ConfigError for an output that is one of what it is to be made of."""
    if output.resolve() in {path.resolve() for path in paths}:
        raise ConfigError(f"{output}: is what the {made} is to be made of: name another file")


def _multipliers(definitions: Data) -> dict[Any, float | None]:
    return {key: definition.multiplier for path in paths_of(definitions) for key, definition in read_definitions(path).items()}

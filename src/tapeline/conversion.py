"""DBN to tape."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from tapeline.backtest import Progress
from tapeline.errors import ConfigError
from tapeline.feeds.definitions import read_definitions
from tapeline.inputs import Data, open_input, paths_of, registry
from tapeline.instruments import Instrument, TickSize
from tapeline.manifest import fingerprint, plain, versions
from tapeline.tape.file import TapeInput, writing
from tapeline.tape.reader import TapeReader


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
    if output.resolve() in {path.resolve() for path in (*paths_of(data), *(paths_of(definitions) if definitions is not None else ()))}:
        raise ConfigError(f"{output}: is what the tape is to be made of: name another file, such as day.tape")
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
        header = {
            "instruments": opened,
            "symbols": {str(i): symbol for i, symbol in source.symbols.items() if instruments is None or i in {entry["instrument_id"] for entry in opened}},
            "counters": reader.counters,
            "sources": sources,
            "settings": plain(settings),
            "versions": versions(),
        }
        writer.finish(header)
    return {"output": str(output), "bytes": output.stat().st_size, "events": writer.events, "seconds": time.perf_counter() - started, **header}


def _multipliers(definitions: Data) -> dict[Any, float | None]:
    return {key: definition.multiplier for path in paths_of(definitions) for key, definition in read_definitions(path).items()}

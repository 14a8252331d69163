"""Trades as data: one row per trade, as a polars frame."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from tapeline.constants import Kind, RecordFlag, Side
from tapeline.errors import DataError
from tapeline.frames import TIME, price_column
from tapeline.inputs import Data, cores_used, open_input, reader_of, registry
from tapeline.instruments import Instrument, TickSize
from tapeline.keywords import checked
from tapeline.schema import TAPE_EVENT

_SIDES = pl.Enum(["buy", "sell"])


@checked
def trades(
    data: Data,
    *,
    tick_size: TickSize | None = None,
    definitions: Data | None = None,
    instruments: Sequence[str | int] | None = None,
) -> pl.DataFrame:
    """All trades, one row each, in the order of the data.

    Columns: `ts_event`, `ts_recv`, `sequence`, `instrument_id`, `publisher_id`, `side` (the aggressor's, `"buy"` or `"sell"`; null where the venue does not
    say), `price` (Float64, price units) and `size` (lots). Trades of a snapshot are none of that moment, and give no row. Settings as in Backtest.

    Raises ConfigError on settings that make no sense, and DataError where the input is damaged; its `result` attribute has the frame of everything before.
    """
    source = open_input(data)
    known = registry(source, multiplier=1.0, tick_size=tick_size, definitions=definitions, instruments=instruments)  # no money is counted
    reader = reader_of(source, known, lambda _: None, threads=cores_used())
    parts = [np.empty(0, TAPE_EVENT)]
    try:
        for n, _ in reader.chunks():
            events = reader.events[:n].view(TAPE_EVENT)
            parts.append(events[(events["kind"] == Kind.TRADE) & (events["flags"] & RecordFlag.SNAPSHOT == 0)])
    except DataError as damage:
        damage.result = _frame(np.concatenate(parts), known.known)
        raise
    return _frame(np.concatenate(parts), known.known)


def _frame(prints: npt.NDArray[np.void], known: Sequence[Instrument]) -> pl.DataFrame:
    """Tape events of trades, whose price is their priority and whose size is their delta, as rows."""
    places, side = prints["instrument"], prints["side"]
    names = pl.Series([None, "buy", "sell"], dtype=_SIDES)
    return pl.DataFrame(
        [
            pl.Series("ts_event", prints["ts_event"]).cast(TIME),
            pl.Series("ts_recv", prints["ts_recv"]).cast(TIME),
            pl.Series("sequence", prints["sequence"]),
            pl.Series("instrument_id", np.array([i.instrument_id for i in known], np.uint32)[places]),
            pl.Series("publisher_id", np.array([i.publisher_id for i in known], np.uint16)[places]),
            names[np.where(side == Side.BID, 1, np.where(side == Side.ASK, 2, 0))].alias("side"),
            price_column("price", prints["priority"]),
            pl.Series("size", prints["delta"]),
        ]
    )

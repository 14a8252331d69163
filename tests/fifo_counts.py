"""The FIFO consistency of a whole file."""

from pathlib import Path
from typing import Any

from tapeline.fifo import FifoCount
from tapeline.inputs import open_input, reader_of, registry


def count_fills(path: Path, **instruments: Any) -> FifoCount:
    """The count of a whole input. `instruments`: tick_size, definitions, instruments of Backtest."""
    source = open_input(path)
    known = registry(source, multiplier=1.0, **instruments)
    known.several = True
    reader, count = reader_of(source, known, lambda _: None), FifoCount()
    for n, _ in reader.chunks():
        count.take(reader.events_address, n, len(known.known))
    return count

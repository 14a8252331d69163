"""Phases of trading, from DBN files of schema `status`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import databento_dbn

from tapeline.constants import Phase
from tapeline.errors import DataError
from tapeline.feeds.dbn import DbnInput
from tapeline.instruments import Key, PhaseChange, Phases

PHASE_OF: Final = {
    1: Phase.AUCTION,  # pre-open
    2: Phase.AUCTION,  # pre-cross
    3: Phase.AUCTION,  # quoting
    4: Phase.AUCTION,  # cross
    5: Phase.AUCTION,  # rotation
    6: Phase.AUCTION,  # new price indication
    7: Phase.TRADING,
    8: Phase.HALTED,  # halt
    9: Phase.HALTED,  # pause
    10: Phase.HALTED,  # suspend
    11: Phase.AUCTION,  # pre-close
    12: Phase.CLOSED,  # close
    13: Phase.CLOSED,  # post-close
    15: Phase.CLOSED,  # not available for trading
}
"""By the `action` of a record (Databento, "Status schema"); the others, none and a change of short-sale restrictions, change no phase."""


def read_status(paths: Sequence[Path]) -> dict[Key, Phases]:
    """The phases of all instruments in DBN files of schema `status`, any version, plain or `.zst`: by time; of several at one time the last counts.

    Raises DataError where a file cannot be read, or holds no status.
    """
    found: dict[Key, dict[int, PhaseChange]] = {}
    for path in paths:
        n = 0
        for record in _records(path):
            n += 1
            phase = PHASE_OF.get(int(record.action))
            if phase is not None:
                ts_recv = record.ts_event if record.ts_recv == databento_dbn.UNDEF_TIMESTAMP else record.ts_recv
                phases = found.setdefault((int(record.publisher_id), int(record.instrument_id)), {})
                phases[record.ts_event] = PhaseChange(record.ts_event, int(phase), ts_recv)
        if n == 0:
            raise DataError(f"{path}: holds no status records: expected a DBN file of schema 'status'")
    return {key: tuple(sorted(phases.values())) for key, phases in found.items()}


def _records(path: Path) -> list[databento_dbn.StatusMsg]:
    source = DbnInput([path])
    decoder = databento_dbn.DBNDecoder(has_metadata=False, ts_out=source.files[0].stride == 64, input_version=source.files[0].version or None)
    out = []
    for span in source.spans():
        span.consumed = len(span.data)  # the decoder keeps the tail itself
        try:
            decoder.write(span.data.tobytes())
            out += [record for record in decoder.decode() if isinstance(record, databento_dbn.StatusMsg)]
        except databento_dbn.DBNError as error:
            raise DataError(f"{path}: cannot be decoded: {error}") from error
    if decoder.buffer():
        raise DataError(f"{path}: ends inside a record ({len(decoder.buffer())} bytes are left): the file is truncated. Get it again.")
    return out

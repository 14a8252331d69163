"""Phases of trading, from DBN files of schema `status`; and such files, of what other data tells of trading states."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import databento_dbn

from tapeline.constants import TIME_END, Phase
from tapeline.errors import DataError
from tapeline.feeds.dbn_write import described, write_records
from tapeline.feeds.decoded import decoded
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

QUOTING, TRADING, HALT, PAUSE = (databento_dbn.StatusAction(n) for n in (3, 7, 8, 9))
"""Actions that venues' trading states become."""
_RTYPE: Final = 18
_SIZES: Final = (40, 40, 40)


class StateChange(NamedTuple):
    """From a time on an instrument is in a trading state."""

    ts: int
    publisher_id: int
    instrument_id: int
    action: databento_dbn.StatusAction


def write_status(path: Path, changes: Iterable[StateChange], *, dataset: str, symbols: Mapping[int, str], start_ns: int) -> int:
    """Write trading states as a DBN file of schema `status`, and return how many they are. Raises ConfigError as `write_mbo` does."""

    def records() -> Iterable[bytes]:
        for ts, publisher, instrument, action in changes:
            yield bytes(databento_dbn.StatusMsg(publisher_id=publisher, instrument_id=instrument, ts_event=ts, ts_recv=ts, action=action))

    return write_records(path, records(), described("status", dataset, symbols, start_ns))


def read_status(paths: Sequence[Path]) -> dict[Key, Phases]:
    """The phases of all instruments in DBN files of schema `status`, any version, plain or `.zst`: by time; of several at one time the last counts.

    Raises DataError where a file cannot be read, or holds no status.
    """
    found: dict[Key, dict[int, PhaseChange]] = {}
    for path in paths:
        n = 0
        for record in decoded(path, _RTYPE, _SIZES):
            n += 1
            phase = PHASE_OF.get(int(record.action))
            if phase is not None:
                ts_event, ts_recv = _times(record, f"{path}: status {n:,}")
                phases = found.setdefault((int(record.publisher_id), int(record.instrument_id)), {})
                phases[ts_event] = PhaseChange(ts_event, int(phase), ts_recv)
        if n == 0:
            raise DataError(f"{path}: holds no status records: expected a DBN file of schema 'status'")
    return {key: tuple(sorted(phases.values())) for key, phases in found.items()}


def _times(record: databento_dbn.StatusMsg, what: str) -> tuple[int, int]:
    """`ts_event` and `ts_recv`, each in the other's place where that is undefined. Raises DataError for times that are none."""
    event, recv = (record.ts_recv if time == databento_dbn.UNDEF_TIMESTAMP else time for time in (record.ts_event, record.ts_recv))
    event, recv = (record.ts_event if time == databento_dbn.UNDEF_TIMESTAMP else time for time in (event, recv))
    if max(event, recv) >= TIME_END:
        raise DataError(f"{what}: {max(event, recv)} is no time: the file is damaged there. Get it again.")
    return event, recv

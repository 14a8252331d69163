"""Status files for tests."""

from collections.abc import Iterable
from pathlib import Path

import databento_dbn

from tapeline.feeds.dbn_write import write_mbo

PRE_OPEN, TRADING, HALT, CLOSE, SSR = (databento_dbn.StatusAction(n) for n in (1, 7, 8, 12, 14))


def write_status(path: Path, changes: Iterable[tuple[int, int, databento_dbn.StatusAction]]) -> Path:
    """A DBN file of schema status: (time, instrument id, action) of publisher 1."""
    write_mbo(path, [], dataset="TEST.DBN", symbols={}, start_ns=0)
    with path.open("ab") as file:
        for ts, instrument, action in changes:
            file.write(bytes(databento_dbn.StatusMsg(publisher_id=1, instrument_id=instrument, ts_event=ts, ts_recv=ts + 5, action=action)))
    return path

"""What rows pay in instruments, as arrays: for the accounts of the compiled engine, and for frames."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tapeline.config import Fees, Venue
from tapeline.instruments import Instrument


class Rates(NamedTuple):
    """Fees, each as an array of the same shape."""

    maker: npt.NDArray[np.float64]
    taker: npt.NDArray[np.float64]
    in_bps: npt.NDArray[np.bool_]


class RowFees:
    """The fees of a run's rows. Rows that pay alike, as nearly all do, share a column of its tables."""

    def __init__(self, venues: Iterable[Venue]) -> None:
        """Of the venues of all rows, in their order."""
        columns: dict[object, tuple[int, Venue]] = {}
        shared = [columns.setdefault(v.fees if isinstance(v.fees, Fees) else id(v.fees), (len(columns), v))[0] for v in venues]
        self._venues = [venue for _, venue in columns.values()]
        self.column = np.array(shared, np.int64)
        """(rows,) of columns."""
        self._of_all: Rates | None = None

    def table(self, instruments: Sequence[Instrument]) -> Rates:
        """(instruments, columns) of each rate."""
        fees = [venue.fees_of(instrument) for instrument in instruments for venue in self._venues]
        shape = len(instruments), len(self._venues)
        maker, taker = (np.array(rates, np.float64).reshape(shape) for rates in ([one.maker for one in fees], [one.taker for one in fees]))
        return Rates(maker, taker, np.array([one.unit == "bps" for one in fees], np.bool_).reshape(shape))

    def of(self, instrument: Instrument) -> Rates:
        """(rows,) of each rate."""
        if self._of_all is not None:
            return self._of_all
        rates = Rates(*(of_columns[0].take(self.column) for of_columns in self.table([instrument])))
        if all(isinstance(venue.fees, Fees) for venue in self._venues):
            self._of_all = rates  # 25 µs an instrument, where all else about opening one takes 35
        return rates

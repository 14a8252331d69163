"""The instruments of a run: what is known about each, and its dense index."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from tapeline.constants import PRICE_SCALE, Phase
from tapeline.errors import ConfigError

Key = tuple[int, int]
"""(publisher_id, instrument_id)."""
Name = str | int
"""How a user names an instrument: by symbol or id."""
Tick = str | float | Decimal
"""A step of prices as a user gives it: a decimal number."""
TickSize = Tick | Mapping[Name, Tick]
Multiplier = float | Decimal | Mapping[Name, float | Decimal]
"""As users give them: one for all, or by name."""


def format_price(price: float) -> str:
    """A price in price units with all its digits, and no more: 123456.75, and neither 123457 nor 123456.750; 15 of them are what a float holds for sure."""
    return f"{Decimal(f'{price:.15g}').normalize():f}"


def decimals(step: float) -> int:
    """How many decimals prices have that are multiples of a step: of 0.25, two."""
    return len(f"{step:.9f}".rstrip("0").partition(".")[2])


def nearest_ticks(prices: Any, grid: int) -> Any:
    """Prices in price units, one or an array of them, as int64 multiples of a grid (1e-9): the nearest, for a float may lie a hair beside its price."""
    return np.round(np.asarray(prices) * PRICE_SCALE / grid).astype(np.int64)


class PhaseChange(NamedTuple):
    """From a time on a phase of trading holds."""

    ts: int
    phase: int
    ts_recv: int
    """When the recorder of the market heard of it."""


Phases = tuple[PhaseChange, ...]
"""By time."""


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """One book of the run. Prices are integers in 1e-9."""

    index: int
    publisher_id: int
    instrument_id: int
    symbol: str
    grid: int
    """Every book price is a multiple of it."""
    tick: int
    """Every order price must be a multiple of it; a multiple of the grid."""
    multiplier: float = 1.0
    """Currency per price unit and lot."""
    currency: str = ""
    phases: Phases = ()

    def phase_at(self, ts: int) -> int:
        """The phase of trading at a time."""
        place = bisect_right(self.phases, ts, key=lambda change: change.ts)
        return self.phases[place - 1].phase if place else int(Phase.TRADING)

    def session_end(self, ts: int) -> int | None:
        """When the session ends that goes on at a time; None if it does not."""
        return next((change.ts for change in self.phases if change.ts > ts and change.phase == Phase.CLOSED), None)

    @property
    def key(self) -> Key:
        """(publisher_id, instrument_id)."""
        return self.publisher_id, self.instrument_id


@dataclass
class Instruments:
    """Registry: turns keys into instruments, in order of first appearance, or in the order asked for.

    `describe(key, index)` makes the Instrument of a key never seen before. `only`: the keys to keep, in index order; others get None and are skipped.
    `several`: whether strategies index by instrument; if not, a second instrument is a ConfigError.
    """

    describe: Callable[[Key, int], Instrument]
    only: Sequence[Key] | None = None
    of_any_venue: frozenset[int] = frozenset()
    """Ids in `only` that were named without a publisher: all publishers that have them are meant."""
    several: bool = False
    excluded_orders: frozenset[int] = frozenset()
    """Ids of orders that are taken out of the tape: rule 12 of the normaliser."""
    fees: Sequence[Mapping[Key, Any]] = ()
    """What each setting of fees by instrument says; it names all instruments described."""
    scheduled: frozenset[Key] | None = None
    """Of which keys a status file tells; None: there is none."""
    from_sending: bool = False
    """Whether the time at which the venue sent a record stands for its `ts_recv`: rule 13."""
    known: list[Instrument] = field(default_factory=list)
    _by_key: dict[Key, Instrument] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Give the instruments asked for their index at once."""
        for key in self.only or ():
            self._add(key)

    def register(self, key: Key) -> Instrument | None:
        """The instrument of a key; None if it is not wanted.

        Raises ConfigError at a second instrument in a run for one, and at a venue of an instrument asked for that shows up too late to be one of the run's.
        """
        found = self._by_key.get(key)
        if found is None and key[1] in self.of_any_venue:
            venues = ", ".join(str(one.key) for one in self.known if one.instrument_id == key[1])
            raise ConfigError(
                f"instruments: id {key[1]} is on a second venue, too (publisher {key[0]}), whose records begin so late in the data that the run is without it: "
                f"say which are meant, instruments=[{venues}], or [{venues}, {key}] for all"
            )
        if found is not None or self.only is not None:
            return found
        if self.known and not self.several:
            first = self.known[0]
            raise ConfigError(
                f"a second instrument (publisher {key[0]}, id {key[1]}) appears beside {first.symbol or first.instrument_id}: "
                "choose with instruments=[…], or name all of them there to run on several"
            )
        return self._add(key)

    def schedule(self, phases: Mapping[Key, Phases]) -> None:
        """Give the instruments, those known and those to come, their phases of trading."""
        self.scheduled = frozenset(phases)
        describe = self.describe
        self.describe = lambda key, index: replace(describe(key, index), phases=phases.get(key, ()))
        self.known[:] = [replace(instrument, phases=phases.get(instrument.key, ())) for instrument in self.known]
        self._by_key = {instrument.key: instrument for instrument in self.known}

    def _add(self, key: Key) -> Instrument:
        instrument = self.describe(key, len(self.known))
        self.known.append(instrument)
        self._by_key[key] = instrument
        return instrument

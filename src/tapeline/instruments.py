"""The instruments of a run: what is known about each, and its dense index."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tapeline.errors import ConfigError

Key = tuple[int, int]
"""(publisher_id, instrument_id)."""


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
    several: bool = False
    excluded_orders: frozenset[int] = frozenset()
    """Ids of orders that are taken out of the tape: rule 12 of the normaliser."""
    known: list[Instrument] = field(default_factory=list)
    _by_key: dict[Key, Instrument] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Give the instruments asked for their index at once."""
        for key in self.only or ():
            self._add(key)

    def register(self, key: Key) -> Instrument | None:
        """The instrument of a key; None if it is not wanted.

        Raises ConfigError at a second instrument in a run for one.
        """
        found = self._by_key.get(key)
        if found is not None or self.only is not None:
            return found
        if self.known and not self.several:
            first = self.known[0]
            raise ConfigError(
                f"a second instrument (publisher {key[0]}, id {key[1]}) appears beside {first.symbol or first.instrument_id}: "
                "choose with instruments=[…], or name all of them there to run on several"
            )
        return self._add(key)

    def _add(self, key: Key) -> Instrument:
        instrument = self.describe(key, len(self.known))
        self.known.append(instrument)
        self._by_key[key] = instrument
        return instrument

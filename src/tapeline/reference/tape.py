"""The tape event: the only thing that the engine knows of history."""

from dataclasses import dataclass

from tapeline.constants import TapeFlag


@dataclass(slots=True)
class TapeEvent:
    """One step of history. docs/ARCHITECTURE.md has a table of what the fields mean for each kind."""

    ts_event: int
    ts_recv: int
    delta: int
    """Signed change of the displayed size; of a FILL minus what was executed; of a TRADE its size."""
    priority: int
    """Stamp of the order concerned; of a TRADE its exact price in 1e-9."""
    level: int
    """Tick number for bids, its negative for asks: better is greater on both sides."""
    sequence: int
    instrument: int
    """Dense index of the book."""
    kind: int
    flags: int
    side: int
    orders: int
    """Change of the number of orders at the level."""

    @property
    def size(self) -> int:
        """How many lots, whatever the direction."""
        return abs(self.delta)

    @property
    def is_last(self) -> bool:
        """Whether it ends an event of its book."""
        return bool(self.flags & TapeFlag.LAST)

    @property
    def is_snapshot(self) -> bool:
        """Whether it belongs to a snapshot: such events move no clock and publish nothing."""
        return bool(self.flags & TapeFlag.SNAPSHOT)

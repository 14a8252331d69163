"""Strategy: the base of users' classes. docs/guide.md shows how to write one, docs/reference.md has what callbacks are given."""

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from tapeline.constants import Feature
from tapeline.errors import ConfigError
from tapeline.record import Record, float64, uint64

if TYPE_CHECKING:
    from tapeline.typing import Account, Event, Fill, Market, Orders, OrderUpdate, PhaseNews, Trade

FEATURES: Final = frozenset(map(int, Feature))
SIGNALS_MAX: Final = 64
"""Which of them were set in a callback is a word of so many bits."""


class Strategy(Record):
    """A trading strategy: annotated fields with a default are its parameters, those without are its state, and `on_…` methods are called as its market goes on.

    Class attributes say what it looks at, and what nobody looks at is not computed:
    `depth` (levels per side; 1 is the BBO), `features` (members of `tl.Feature`), `signals` (names of series that `self.signal(k, value)` writes to).
    `wake_depth`: a change of the so many best levels calls `on_book`, and nothing else of what is looked at does; by default any change of it.
    `latency`: its own, where neither the run nor its row has one.

    Callbacks, to be written where they are needed; what each is given: docs/reference.md.

        on_start(self, market, orders, account)           on_order(self, update, market, orders, account)
        on_book(self, market, orders, account)            on_fill(self, fill, market, orders, account)
        on_trade(self, trade, market, orders, account)    on_timer(self, market, orders, account)
        on_event(self, event, market, orders, account)    on_end(self, market, orders, account)
        on_status(self, status, market, orders, account)
    """

    depth: ClassVar[int] = 1
    features: ClassVar[tuple[int, ...]] = ()
    signals: ClassVar[tuple[str, ...]] = ()
    wake_depth: ClassVar[int | None] = None

    if TYPE_CHECKING:  # a callback that a class lacks costs nothing, so that here there are none; editors read what arguments are
        _signal_values: Any
        _signal_mask: int

        def on_start(self, market: Market, orders: Orders, account: Account) -> None:
            """Once, before the first event; `market` is empty."""

        def on_book(self, market: Market, orders: Orders, account: Account) -> None:
            """When the book that the class looks at has changed (`depth`, `features`, `wake_depth`)."""

        def on_trade(self, trade: Trade, market: Market, orders: Orders, account: Account) -> None:
            """For every trade."""

        def on_event(self, event: Event, market: Market, orders: Orders, account: Account) -> None:
            """For every tape event outside snapshots: adds, removals, fills, trades, clears."""

        def on_order(self, update: OrderUpdate, market: Market, orders: Orders, account: Account) -> None:
            """When an answer about an order arrives, other than a fill."""

        def on_fill(self, fill: Fill, market: Market, orders: Orders, account: Account) -> None:
            """When the news of a fill arrives."""

        def on_timer(self, market: Market, orders: Orders, account: Account) -> None:
            """At the time that `orders.wake_at` asked for."""

        def on_end(self, market: Market, orders: Orders, account: Account) -> None:
            """Once, at the end; orders sent here never arrive."""

        def on_status(self, status: PhaseNews, market: Market, orders: Orders, account: Account) -> None:
            """When news of a trading phase arrives (`Backtest(status=...)`)."""

    def __init_subclass__(cls) -> None:
        """Add the hidden fields of signals. Raises ConfigError where a class attribute makes no sense."""
        if not isinstance(cls.depth, int) or cls.depth < 1:
            raise ConfigError(f"{cls.__name__}.depth = {cls.depth!r}: expected a number of levels, 1 or more")
        if cls.wake_depth is not None and not (isinstance(cls.wake_depth, int) and 1 <= cls.wake_depth <= cls.depth):
            raise ConfigError(f"{cls.__name__}.wake_depth = {cls.wake_depth!r}: expected a number of levels from 1 to depth = {cls.depth}, or None")
        if not (isinstance(cls.features, Sequence) and all(isinstance(one, int) and one in FEATURES for one in cls.features)):
            raise ConfigError(f"{cls.__name__}.features = {cls.features!r}: expected members of tl.Feature, such as (tl.Feature.MID,)")
        if isinstance(cls.signals, str) or not all(isinstance(one, str) for one in cls.signals) or len(cls.signals) > SIGNALS_MAX:
            raise ConfigError(f"{cls.__name__}.signals = {cls.signals!r}: expected at most {SIGNALS_MAX} names, such as ('skew',)")
        if "__init__" in vars(cls):
            raise ConfigError(
                f"{cls.__name__}.__init__: fields have defaults, or are given by name, {cls.__name__}(size=2); what else is to be set, set in on_start"
            )
        hidden: dict[str, Any] = {"_signal_mask": uint64}
        if cls.signals:
            hidden["_signal_values"] = (float64, (len(cls.signals),))
        cls.__annotations__ = {**hidden, **inspect.get_annotations(cls)}
        super().__init_subclass__()

    def signal(self, index: int, value: float) -> None:
        """Record `value` for the `index`-th name in `signals`; the last one set in a callback is kept, at its local time."""
        self._signal_values[index] = value
        self._signal_mask |= uint64(1) << uint64(index)

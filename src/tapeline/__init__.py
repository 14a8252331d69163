"""Tapeline backtests high-frequency strategies on market-by-order data, at order-book-replay speed and with exact queue position.

    import tapeline as tl

    class Maker(tl.Strategy):                            # see help(tl.Strategy)
        def on_book(self, market, orders, account): ...

    backtest = tl.Backtest("day.dbn.zst", tick_size=0.25, multiplier=50, latency=tl.Latency(entry="100us", response="100us"))
    result = backtest.run(Maker())                       # a tl.Result: stats, fills, orders, equity, …, report(), save()

Settings: Latency, Delay, Fees, FillRules, Limits, Row. Research without a strategy: depth, features, trades, heatmap, write_tape. Data that Databento did not
record: write_dbn; files per instrument or venue: merge. `dir(tl)` has all names, docs/guide.md shows how they go together, and docs/reference.md has each with
its unit.

Names are imported when first used, so that `import tapeline` and `tapeline --help` do not wait for the compiler. No module of this package has the name of a
public function: importing it would put the module in the function's place.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tapeline import forks as forks  # which has to look at forks from now on

if TYPE_CHECKING:
    from tapeline.backtest import Backtest as Backtest
    from tapeline.backtest import Progress as Progress
    from tapeline.config import Fees as Fees
    from tapeline.config import FillRules as FillRules
    from tapeline.config import Latency as Latency
    from tapeline.config import Limits as Limits
    from tapeline.config import Row as Row
    from tapeline.constants import DAY as DAY
    from tapeline.constants import FOK as FOK
    from tapeline.constants import GTC as GTC
    from tapeline.constants import GTD as GTD
    from tapeline.constants import IOC as IOC
    from tapeline.constants import ON_QUOTE as ON_QUOTE
    from tapeline.constants import POST_ONLY as POST_ONLY
    from tapeline.constants import REDUCE_ONLY as REDUCE_ONLY
    from tapeline.constants import UNDEFINED_PRICE as UNDEFINED_PRICE
    from tapeline.constants import Feature as Feature
    from tapeline.constants import FillRule as FillRule
    from tapeline.constants import Kind as Kind
    from tapeline.constants import Phase as Phase
    from tapeline.constants import Reason as Reason
    from tapeline.constants import Side as Side
    from tapeline.constants import Status as Status
    from tapeline.constants import Update as Update
    from tapeline.conversion import merge as merge
    from tapeline.conversion import write_dbn as write_dbn
    from tapeline.conversion import write_tape as write_tape
    from tapeline.delays import Delay as Delay
    from tapeline.desk import replay_orders as replay_orders
    from tapeline.errors import CompileError as CompileError
    from tapeline.errors import ConfigError as ConfigError
    from tapeline.errors import DataError as DataError
    from tapeline.errors import InvariantError as InvariantError
    from tapeline.errors import LimitError as LimitError
    from tapeline.errors import TapelineError as TapelineError
    from tapeline.extraction import CustomFeature as CustomFeature
    from tapeline.extraction import features as features
    from tapeline.extraction import features_chunks as features_chunks
    from tapeline.heat import Heatmap as Heatmap
    from tapeline.heat import heatmap as heatmap
    from tapeline.mbp import depth as depth
    from tapeline.mbp import depth_chunks as depth_chunks
    from tapeline.prints import trades as trades
    from tapeline.record import Record as Record
    from tapeline.record import bool_ as bool_
    from tapeline.record import float64 as float64
    from tapeline.record import int32 as int32
    from tapeline.record import int64 as int64
    from tapeline.record import uint8 as uint8
    from tapeline.record import uint64 as uint64
    from tapeline.result import Result as Result
    from tapeline.strategy import Strategy as Strategy

__version__ = "0.1.0"

_HOMES = {
    "backtest": ("Backtest", "Progress"),
    "config": ("Fees", "FillRules", "Latency", "Limits", "Row"),
    "constants": (
        *("DAY", "FOK", "GTC", "GTD", "IOC", "ON_QUOTE", "POST_ONLY", "REDUCE_ONLY"),
        *("UNDEFINED_PRICE", "Feature", "FillRule", "Kind", "Phase", "Reason", "Side", "Status", "Update"),
    ),
    "delays": ("Delay",),
    "conversion": ("merge", "write_dbn", "write_tape"),
    "desk": ("replay_orders",),
    "errors": ("CompileError", "ConfigError", "DataError", "InvariantError", "LimitError", "TapelineError"),
    "extraction": ("CustomFeature", "features", "features_chunks"),
    "heat": ("Heatmap", "heatmap"),
    "mbp": ("depth", "depth_chunks"),
    "prints": ("trades",),
    "record": ("Record", "bool_", "float64", "int32", "int64", "uint8", "uint64"),
    "result": ("Result",),
    "strategy": ("Strategy",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = ["__version__", *_HOME_OF]  # noqa: PLE0604 - strings, from the table above


def __getattr__(name: str) -> Any:
    """Import a public name from its home, once."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'tapeline' has no attribute {name!r}")
    value = getattr(import_module(f"tapeline.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names."""
    return sorted(__all__)

"""NautilusTrader: the same maker on its level-3 book, and a strategy that only looks.

Not timed: its loader's reading of the compressed DBN into objects. The engine keeps a book in the simulated exchange and another in its cache; the strategy is
Python, called for every record. One lot; latencies to the exchange, and none back: it has none for its answers. It gets the first records of the stream only,
first.dbn.zst, because objects take some 0.8 GB per million.
"""

import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from nautilus_trader.adapters.databento.loaders import DatabentoDataLoader
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.backtest.models import LatencyModel
from nautilus_trader.config import LoggingConfig, RiskEngineConfig, StrategyConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.enums import AccountType, AssetClass, BookType, OmsType, OrderSide, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import FuturesContract
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy
from serve import serve, timed

TICK, RECORDS = sys.argv[2], int(sys.argv[4])
INSTRUMENT_ID = InstrumentId(Symbol("PEERS"), Venue("SIM"))
POSITION_MAX = 10
INSTRUMENT = FuturesContract(
    instrument_id=INSTRUMENT_ID,
    raw_symbol=Symbol("PEERS"),
    asset_class=AssetClass.INDEX,
    currency=USD,
    price_precision=2,
    price_increment=Price.from_str(f"{Decimal(TICK):.2f}"),
    multiplier=Quantity.from_int(50),
    lot_size=Quantity.from_int(1),
    underlying="PEERS",
    activation_ns=0,
    expiration_ns=2**62,
    ts_event=0,
    ts_init=0,
)


class Watcher(Strategy):
    """Looks at the touch after every record."""

    def __init__(self) -> None:
        super().__init__(StrategyConfig(strategy_id="PEERS-1"))
        self.sent = 0
        self.touch: tuple[Any, ...] = ()

    def on_start(self) -> None:
        """Listen."""
        self.subscribe_order_book_deltas(INSTRUMENT_ID, book_type=BookType.L3_MBO)

    def on_order_book_deltas(self, deltas: Any) -> None:
        """Remember the touch."""
        book = self.cache.order_book(INSTRUMENT_ID)
        touch = book.best_bid_price(), book.best_ask_price(), book.best_bid_size(), book.best_ask_size()
        if touch != self.touch:
            self.touch = touch
            self.on_touch(touch[0], touch[1])

    def on_touch(self, bid: Any, ask: Any) -> None:
        """Do nothing."""


class Maker(Watcher):
    """Keeps one lot on both sides of the touch, post-only, within a position limit."""

    def __init__(self) -> None:
        super().__init__()
        self.quotes: dict[OrderSide, Any] = {}

    def on_touch(self, bid: Any, ask: Any) -> None:
        """Follow the touch."""
        position = self.portfolio.net_position(INSTRUMENT_ID)
        self.quote(OrderSide.BUY, bid, position + 1 <= POSITION_MAX)
        self.quote(OrderSide.SELL, ask, position - 1 >= -POSITION_MAX)

    def quote(self, side: OrderSide, price: Any, is_wanted: bool) -> None:  # noqa: FBT001 - one flag
        """Cancel what is not at the touch, place what is missing."""
        order = self.quotes.get(side)
        if order is not None and not order.is_closed:
            if order.price != price and not order.is_pending_cancel:
                self.cancel_order(order)
        elif price is not None and is_wanted:
            order = self.order_factory.limit(INSTRUMENT_ID, side, Quantity.from_int(1), price, time_in_force=TimeInForce.GTC, post_only=True)
            self.quotes[side] = order
            self.sent += 1
            self.submit_order(order)


def run(strategy: Watcher, data: list[Any]) -> dict[str, Any]:
    """One run, timed without handing the data over."""
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), risk_engine=RiskEngineConfig(bypass=True)))
    latency = LatencyModel(base_latency_nanos=100_000)
    engine.add_venue(INSTRUMENT_ID.venue, OmsType.NETTING, AccountType.MARGIN, [Money(10_000_000, USD)], latency_model=latency, book_type=BookType.L3_MBO)
    engine.add_instrument(INSTRUMENT)
    engine.add_data(data)
    engine.add_strategy(strategy)
    took, _ = timed(engine.run)
    fills = sum(order.filled_qty > 0 for order in engine.cache.orders())
    engine.dispose()
    return {"records": RECORDS, **took, "orders": strategy.sent, "fills": fills}


deltas = DatabentoDataLoader().from_dbn_file(Path(sys.argv[1]) / "first.dbn.zst", instrument_id=INSTRUMENT_ID, as_legacy_cython=True)
serve(["nautilus_trader"], {"market maker": lambda: run(Maker(), deltas), "replay": lambda: run(Watcher(), deltas)})

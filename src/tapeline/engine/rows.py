"""What stays the same of a row during a run: its class, its latencies, its limits, its rules."""

from typing import Any, Final

from tapeline.config import UNLIMITED, RowSpec
from tapeline.contract import CALLBACKS
from tapeline.delays import least_ns
from tapeline.engine.records import SMP_CANCEL_AGGRESSOR, SMP_CANCEL_RESTING, SMP_REJECT

_SELF_MATCH: Final = {"cancel_resting": SMP_CANCEL_RESTING, "cancel_aggressor": SMP_CANCEL_AGGRESSOR, "reject": SMP_REJECT}


def callbacks_of(cls: type) -> int:
    """The callbacks of a strategy class, a bit each, in the order of CALLBACKS."""
    return sum(1 << i for i, name in enumerate(CALLBACKS) if hasattr(cls, name))


def fill_row(row: Any, index: int, group: int, spec: RowSpec, *, asks_ahead: bool) -> None:
    """All of a Row that its setting says, but for addresses of memory of its own. `asks_ahead`: whether the code of its class does."""
    cls, limits, rules = type(spec.strategy), spec.venue.limits, spec.venue.rules
    row.index, row.group, row.listens, row.callbacks = index, group, group, callbacks_of(cls)
    row.latency_entry, row.latency_modify, row.latency_cancel, row.latency_response = (least_ns(leg) for leg in spec.venue.latency.legs)
    row.last_arrival = row.last_response = -(2**62)
    row.budget_of = -1
    row.order_size_max, row.position_max, row.orders_live_max = limits.order_size_max, limits.position_max, limits.orders_live_max
    row.notional_max, row.loss_max = limits.notional_max, limits.loss_max
    row.rate_max = limits.orders_per_second_max if limits.orders_per_second_max < UNLIMITED else 0
    row.asks_ahead = asks_ahead
    row.hears = asks_ahead or hasattr(cls, "on_order")
    row.queue, row.trade_through, row.crossing, row.iceberg_excess = rules.queue_model, rules.trade_through, rules.crossing, rules.iceberg_excess
    row.auction, row.cancel_on_gap = rules.auction, rules.on_gap == "cancel"
    row.consume, row.self_match = rules.impact == "consume", _SELF_MATCH[rules.self_match]

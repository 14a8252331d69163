"""What is computed: every metric, its section, its unit and what it means."""

from typing import Final, Literal, NamedTuple

SECOND_NS: Final = 1_000_000_000
HORIZONS: Final = {
    "1ms": SECOND_NS // 1000,
    "10ms": SECOND_NS // 100,
    "100ms": SECOND_NS // 10,
    "1s": SECOND_NS,
    "10s": 10 * SECOND_NS,
    "60s": 60 * SECOND_NS,
}
"""Times after a fill at which the market's mid is looked at."""
SPLIT_HORIZON: Final = "1s"
"""Up to here a move of the mid against a fill is called adverse selection; later ones are the position's own."""

Unit = Literal["money", "share", "count", "lots", "ratio", "bps", "duration"]


class Metric(NamedTuple):
    """One column of the statistics."""

    section: str
    unit: Unit
    meaning: str


def _section(name: str, **metrics: tuple[Unit, str]) -> dict[str, Metric]:
    return {metric: Metric(name, unit, meaning) for metric, (unit, meaning) in metrics.items()}


METRICS: Final = (
    _section(
        "PnL",
        pnl_net=("money", "PnL net of fees: cash + position at the mark − fees"),
        pnl_gross=("money", "PnL before fees"),
        fees=("money", "fees paid; negative: rebates received"),
        pnl_per_lot=("money", "net PnL / lots traded"),
        pnl_per_turnover=("bps", "net PnL / turnover, in basis points"),
        return_on_capital=("share", "net PnL / the capital given; null without one"),
        drawdown_max=("money", "largest fall of the net equity, as sampled (equity_every), from an earlier high (which starts at 0)"),
        drawdown_duration=("duration", "longest time from a high of the net equity until it was regained, or the end"),
    )
    | _section(
        "Risk",
        sharpe=("ratio", "mean / standard deviation (of n − 1) of the net PnL per period, annualised"),
        sortino=("ratio", "as sharpe, by the downside deviation: the root of the mean over all periods of min(net PnL, 0)²"),
        calmar=("ratio", "net PnL per year / drawdown_max"),
        sharpe_probability=("share", "Probabilistic Sharpe: probability that the true Sharpe exceeds 0 (Bailey, López de Prado 2012)"),
        sharpe_deflated=("share", "Deflated Sharpe: … exceeds the best expected by chance of as many trials (Bailey, López de Prado 2014); null for one"),
    )
    | _section(
        "Where it came from",
        spread_capture=("money", "Σ signed lots × (mid before the fill − price)"),
        adverse_selection=("money", f"Σ signed lots × (mid {SPLIT_HORIZON} after the fill − mid before it); negative: the market moved against the fills"),
        inventory_pnl=("money", "the rest of the gross PnL: what positions gained later"),
        **{f"markout_{h}": ("money", f"mean per lot of signed (mid {h} after the fill − price)") for h in HORIZONS},
    )
    | _section(
        "Trading",
        fills=("count", "fills"),
        lots=("lots", "lots traded"),
        turnover=("money", "notional traded, absolute"),
        maker_share=("share", "share of the traded lots that were filled while resting"),
        large_share=("share", "share of the traded lots in fills of more than half of what they traded against"),
        trades=("count", "round trips: from no position in an instrument to none again, or to the other side"),
        win_rate=("share", "round trips with a net gain / round trips"),
        profit_factor=("ratio", "net gains of round trips / net losses of round trips"),
        trade_pnl_mean=("money", "mean net PnL of a round trip"),
        trade_duration_median=("duration", "median length of a round trip"),
    )
    | _section(
        "Position",
        position_min=("lots", "smallest position in any one instrument; a day's starting one counts"),
        position_max=("lots", "largest position in any one instrument; likewise"),
        position_end=("lots", "position at the end; null over several instruments"),
        position_abs_mean=("lots", "mean over time of the absolute position, summed over instruments"),
        exposure_mean=("money", "mean over time of the absolute position at the price of its last fill, summed over instruments"),
        time_in_market=("share", "share of the time with a position; the mean share over the instruments that each strategy traded"),
    )
    | _section(
        "Orders",
        orders=("count", "orders created, refused ones included"),
        orders_arrived=("count", "orders that reached the exchange"),
        orders_filled=("count", "orders with a fill"),
        fill_ratio_orders=("share", "orders with a fill / orders that reached the exchange"),
        fill_ratio_lots=("share", "lots filled / lots of the orders that were sent (refusals by the gateway are never sent)"),
        cancel_ratio=("share", "orders cancelled / orders that reached the exchange"),
        order_to_trade=("ratio", "new orders that reached the exchange, modifies and cancels that it carried out (refused ones are not counted) / fills"),
        rejects=("count", "orders refused, by gateway or exchange"),
        requests_refused=("count", "cancels and modifies refused while the order was live to the strategy: not those that came after its last fill"),
    )
    | _section(
        "Queue and time",
        ahead_at_entry_median=("lots", "median queue ahead of an order when it came to rest"),
        ahead_at_fill_median=("lots", "median queue displayed ahead of a resting order when it was filled, lots that the same event executed included"),
        time_to_fill_median=("duration", "median time from arrival at the exchange to the first fill while resting, of orders that had one"),
        entry_latency_median=("duration", "median time from sending an order to its arrival"),
        entry_latency_p99=("duration", "its 99th percentile"),
        response_latency_median=("duration", "median time from a fill to the strategy's learning of it"),
        response_latency_p99=("duration", "its 99th percentile"),
    )
)
"""Every metric and what it means; money in the line's currency, durations as polars Durations."""
DURATIONS: Final = tuple(name for name, metric in METRICS.items() if metric.unit == "duration")

"""The features, in one place: formula, unit and source of each.

To add one: a member of `constants.Feature`, a kernel here, a line in `update_features`, a line in the table of docs/ARCHITECTURE.md, and its twin in
`reference/features.py`. Features are computed at the end of an ordinary event that changed the BBO or one of the five best levels, and only when a strategy
declares them. Prices are 1e-9 integers until the last step; NaN stands for "not defined now" (a side is absent).
"""

import math
from typing import Final

import numpy as np

from tapeline.constants import PRICE_SCALE, Feature
from tapeline.jit import kernel
from tapeline.market.book import ASKS, BIDS, BITS, FEATURES_OFFSET, NUMBER, side_of
from tapeline.market.ladder import LEVEL, LEVEL_NONE, has_best
from tapeline.memory import address_of, record_at

SPREAD, SPREAD_RELATIVE, MID, MICROPRICE, IMBALANCE, DEPTH_BID, DEPTH_ASK, ORDER_FLOW_IMBALANCE, VOLATILITY = (np.int64(f) for f in Feature)
DEPTH_FEATURES: Final = 1 << DEPTH_BID | 1 << DEPTH_ASK
DEPTH_LEVELS: Final = 5
VOLATILITY_DECAY, VOLATILITY_NEWS = 0.94, 0.06


@kernel
def spread(market):
    """Absolute spread: (ask - bid) / 1e9. Price."""
    return (market.ask_price - market.bid_price) / PRICE_SCALE


@kernel
def mid(market):
    """Mid: (ask + bid) / 2e9. Price."""
    return (market.ask_price + market.bid_price) / (2 * PRICE_SCALE)


@kernel
def spread_relative(market):
    """Relative spread: spread / mid, NaN if the mid is 0. Dimensionless."""
    middle = mid(market)
    return spread(market) / middle if middle != 0.0 else math.nan


@kernel
def microprice(market):
    """Microprice: the mid weighted by the opposite sizes, (bid * ask_size + ask * bid_size) / (bid_size + ask_size). Price (Gatheral, Oomen 2010, eq. 7)."""
    weighted = np.float64(market.bid_price) * np.float64(market.ask_size) + np.float64(market.ask_price) * np.float64(market.bid_size)
    return weighted / (np.float64(market.ask_size + market.bid_size) * 1e9)


@kernel
def imbalance(market):
    """Imbalance at the top: (bid_size - ask_size) / (bid_size + ask_size), in [-1, 1]."""
    return (market.bid_size - market.ask_size) / (market.bid_size + market.ask_size)


@kernel
def depth(market, first):
    """Size of the five best levels of a side, from Level number `first` on. Lots."""
    total = np.int64(0)
    for i in range(DEPTH_LEVELS):
        total += record_at(market.levels, first + i, LEVEL).size
    return np.float64(total)


@kernel
def flow(level, size, level_before, size_before):
    """What one side contributes to the order flow: size that came at the touch less size that left it."""
    return (size if level >= level_before else 0) - (size_before if level <= level_before else 0)


@kernel
def order_flow_imbalance(book):
    """Order-flow imbalance: running sum of e_n = flow(bids) - flow(asks) over the views. Lots. (Cont, Kukanov, Stoikov 2014, eq. 1; levels mirrored)."""
    bids, asks = side_of(book, BIDS), side_of(book, ASKS)
    bid_level = bids.best if has_best(bids) else LEVEL_NONE
    ask_level = asks.best if has_best(asks) else LEVEL_NONE
    bid_size, ask_size = book.market.bid_size, book.market.ask_size
    if not book.flow_seen and bid_level == LEVEL_NONE and ask_level == LEVEL_NONE:
        return 0.0  # nothing was ever there
    total = 0.0
    if book.flow_seen:
        from_bids = flow(bid_level, bid_size, book.seen_bid_level, book.seen_bid_size)
        from_asks = flow(ask_level, ask_size, book.seen_ask_level, book.seen_ask_size)
        total = value_of(book.market, ORDER_FLOW_IMBALANCE).value + np.float64(from_bids - from_asks)
    book.flow_seen = 1
    book.seen_bid_level = bid_level
    book.seen_ask_level = ask_level
    book.seen_bid_size = bid_size
    book.seen_ask_size = ask_size
    return total


@kernel
def volatility(book):
    """Volatility of the mid: root of the exponentially weighted mean (decay 0.94) of its squared changes, per change. Price (RiskMetrics 1996)."""
    market = book.market
    if market.has_bid and market.has_ask:
        if book.mid_seen and market.mark != book.mid_last:
            step = (market.ask_price + market.bid_price) / (2 * PRICE_SCALE) - book.mid_price_last
            book.variance = VOLATILITY_DECAY * book.variance + VOLATILITY_NEWS * (step * step) if book.variance_seen else step * step
            book.variance_seen = 1
        book.mid_seen = 1
        book.mid_last = market.mark
        book.mid_price_last = mid(market)
    return math.sqrt(book.variance) if book.variance_seen else math.nan


@kernel
def value_of(market, which):
    """Where a feature's value stands."""
    return record_at(address_of(market) + FEATURES_OFFSET, which, NUMBER)


@kernel
def put(book, plan, which, value):
    """Set a feature if somebody declared it; the classes that have to be told."""
    if (plan.features >> which) & 1 == 0:
        return np.uint64(0)
    kept = value_of(book.market, which)
    before = kept.value
    kept.value = value
    same = value == before or (math.isnan(value) and math.isnan(before))
    return np.uint64(0) if same else record_at(plan.feature_masks, which, BITS).bits


@kernel
def update_features(book, plan):
    """Bring the declared features up to date; the classes for whom one changed."""
    market = book.market
    both = market.has_bid and market.has_ask
    changed = put(book, plan, SPREAD, spread(market) if both else math.nan)
    changed |= put(book, plan, SPREAD_RELATIVE, spread_relative(market) if both else math.nan)
    changed |= put(book, plan, MID, mid(market) if both else math.nan)
    changed |= put(book, plan, MICROPRICE, microprice(market) if both else math.nan)
    changed |= put(book, plan, IMBALANCE, imbalance(market) if both else math.nan)
    if plan.features & DEPTH_FEATURES:
        changed |= put(book, plan, DEPTH_BID, depth(market, 0))
        changed |= put(book, plan, DEPTH_ASK, depth(market, market.depth))
    if (plan.features >> ORDER_FLOW_IMBALANCE) & 1:
        changed |= put(book, plan, ORDER_FLOW_IMBALANCE, order_flow_imbalance(book))
    if (plan.features >> VOLATILITY) & 1:
        changed |= put(book, plan, VOLATILITY, volatility(book))
    return changed

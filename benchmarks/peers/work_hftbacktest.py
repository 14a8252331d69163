"""hftbacktest: the same maker on its level-3 queue, and the loop over all feed events without orders.

Not timed: conversion to its events, putting them into its order, handing them over. The loop wakes at every row, as its documentation does for makers that
follow the touch; orders are looked at only where the touch moved, which is when Tapeline calls the maker. It fills whole orders only, so one lot is used.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from hftbacktest import GTX, LIMIT, BacktestAsset, ROIVectorMarketDepthBacktest
from hftbacktest.data.validation import correct_event_order, correct_local_timestamp, validate_event_order
from hftbacktest.types import event_dtype
from numba import njit
from serve import serve, timed

TICK = float(sys.argv[2])
END_OF_DATA = 1
EVER = 10**18


@njit
def follow(hbt, position_max):
    """One lot on both sides of the touch, post-only, within a position limit; how many orders that took, and the last best prices."""
    bid_id, ask_id, number = np.uint64(0), np.uint64(0), np.uint64(0)
    bid, ask, bid_size, ask_size = np.int64(0), np.int64(0), 0.0, 0.0
    while hbt.wait_next_feed(False, EVER) != END_OF_DATA:
        depth = hbt.depth(0)
        best_bid, best_ask = depth.best_bid_tick, depth.best_ask_tick
        best_bid_size, best_ask_size = depth.bid_qty_at_tick(best_bid), depth.ask_qty_at_tick(best_ask)  # best_bid_qty gives the price, in 2.4.4
        if best_bid == bid and best_ask == ask and best_bid_size == bid_size and best_ask_size == ask_size:
            continue
        bid, ask, bid_size, ask_size = best_bid, best_ask, best_bid_size, best_ask_size
        hbt.clear_inactive_orders(0)
        orders, position = hbt.orders(0), hbt.position(0)
        if bid_id in orders:
            order = orders.get(bid_id)
            if order.price_tick != bid and order.cancellable:
                hbt.cancel(0, bid_id, False)
        elif bid_size > 0 and position + 1 <= position_max:
            number += np.uint64(1)
            bid_id = number
            hbt.submit_buy_order(0, bid_id, bid * depth.tick_size, 1.0, GTX, LIMIT, False)
        if ask_id in orders:
            order = orders.get(ask_id)
            if order.price_tick != ask and order.cancellable:
                hbt.cancel(0, ask_id, False)
        elif ask_size > 0 and position - 1 >= -position_max:
            number += np.uint64(1)
            ask_id = number
            hbt.submit_sell_order(0, ask_id, ask * depth.tick_size, 1.0, GTX, LIMIT, False)
    return np.int64(number), bid, ask


@njit
def watch(hbt):
    """All feed events, and the best prices after each."""
    bid, ask = np.int64(0), np.int64(0)
    while hbt.wait_next_feed(False, EVER) != END_OF_DATA:
        depth = hbt.depth(0)
        bid, ask = depth.best_bid_tick, depth.best_ask_tick
    return np.int64(0), bid, ask


def prepared() -> Any:
    """The stream in the order, and with the flags, that hftbacktest wants."""
    rows = correct_local_timestamp(np.load(Path(sys.argv[1]) / "hftbacktest.npy").astype(event_dtype), 0)
    data = correct_event_order(rows, np.argsort(rows["exch_ts"], kind="mergesort"), np.argsort(rows["local_ts"], kind="mergesort"))
    validate_event_order(data)
    return data


def run(loop: Any, data: Any, *arguments: Any) -> dict[str, Any]:
    """One run, timed without handing the data over."""
    prices = data["px"][data["px"] > 0]
    asset = (
        BacktestAsset()
        .data(data)
        .linear_asset(50.0)
        .constant_order_latency(100_000, 100_000)
        .l3_fifo_queue_model()
        .no_partial_fill_exchange()
        .trading_qty_fee_model(0.0, 0.0)
        .tick_size(TICK)
        .lot_size(1.0)
        .roi_lb(float(prices.min()) - 100 * TICK)
        .roi_ub(float(prices.max()) + 100 * TICK)
    )
    hbt = ROIVectorMarketDepthBacktest([asset])
    took, (orders, bid, ask) = timed(lambda: loop(hbt, *arguments))
    fills = int(hbt.state_values(0).num_trades)
    hbt.close()
    return {**took, "orders": int(orders), "fills": fills, "bid": bid * TICK, "ask": ask * TICK}


events = prepared()
serve(["hftbacktest", "numba", "numpy"], {"market maker": lambda: run(follow, events, 10.0), "replay": lambda: run(watch, events)})

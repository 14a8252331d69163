"""Real orders, taken out of the tape and sent again: how often the simulated venue fills them as the exchange did.

Any participant's resting orders that were filled stand for a desk's own record. They are taken out of the tape (`exclude_orders`), sent again at the times of
their records (`tl.replay_orders`), and compared (`result.compare`).

    python benchmarks/against_own_orders.py esh4-20231225.mbo.dbn.zst --from 2023-12-25T23:00:01
    python benchmarks/against_own_orders.py esh4-20231225.mbo.dbn.zst --from 2023-12-25T23:00:01 --each 1000
"""

import argparse
import random
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from against_mbo_queue import aggressors_own, read

import tapeline as tl
from tapeline.constants import UNDEFINED_PRICE, Action, RecordFlag

Array = np.ndarray[Any, Any]


def filled_orders(stream: Array, start: int) -> list[int]:
    """Ids of orders that joined the book at `start` (ns) or later, and were filled while they rested."""
    joined = (stream["action"] == Action.ADD) & (stream["ts_event"] >= start) & (stream["flags"] & RecordFlag.SNAPSHOT == 0)
    filled = (stream["action"] == Action.FILL) & ~aggressors_own(stream)
    return np.intersect1d(stream["order_id"][joined], stream["order_id"][filled]).tolist()


def log_of(stream: Array, order_ids: list[int]) -> pl.DataFrame:
    """The log that the owner of these orders would have kept: what he sent, in totals, and his fills."""
    own = stream[np.isin(stream["order_id"], np.array(order_ids, np.uint64)) & ~aggressors_own(stream)]
    log: list[tuple[Any, ...]] = []
    left: dict[int, int] = {}
    filled: dict[int, int] = {}
    pending: dict[int, int] = {}  # filled, but the book's own change has not come yet
    for record in own:
        order_id, ts, size = int(record["order_id"]), int(record["ts_event"]), int(record["size"])
        price = None if record["price"] == UNDEFINED_PRICE else int(record["price"]) / 1e9
        side = "buy" if record["side"] == ord("B") else "sell"
        if record["action"] == Action.ADD:
            left[order_id], filled[order_id], pending[order_id] = size, 0, 0
            log.append((ts, order_id, "new", side, price, size))
        elif record["action"] == Action.FILL:
            filled[order_id] += size
            pending[order_id] += size
            log.append((ts, order_id, "fill", side, price, size))
        elif record["action"] == Action.MODIFY:
            is_own = size != left[order_id] - pending[order_id] or not pending[order_id]
            left[order_id], pending[order_id] = size, 0
            if is_own:
                log.append((ts, order_id, "modify", side, price, filled[order_id] + size))
        elif record["action"] == Action.CANCEL:
            cancelled = size - pending[order_id]
            left[order_id] -= size
            pending[order_id] = 0
            if cancelled > 0 and left[order_id] <= 0:
                log.append((ts, order_id, "cancel", side, None, None))
            elif cancelled > 0:
                log.append((ts, order_id, "modify", side, price, filled[order_id] + left[order_id]))
    return pl.DataFrame(log, ["ts", "order_id", "action", "side", "price", "size"], orient="row", infer_schema_length=None)


def again(path: Path, stream: Array, order_ids: list[int], tick: str) -> Any:
    """Take orders out, send them again, compare."""
    log = log_of(stream, order_ids)
    limits = tl.Limits(orders_live_max=max(len(order_ids), 1))
    backtest = tl.Backtest(path, tick_size=tick, multiplier=1.0, exclude_orders=order_ids, limits=limits, equity_every="24h")
    return backtest.run(tl.replay_orders(log)).compare(log)


def main() -> None:
    """Compare, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="a DBN file of one instrument's MBO records")
    parser.add_argument("--tick", default="0.25", help="tick size of the instrument")
    parser.add_argument("--from", dest="start", default="1970-01-01", help="UTC time from which orders are chosen")
    parser.add_argument("--each", type=int, default=0, metavar="N", help="N orders chosen at random, each in a run of its own, instead of all at once")
    given = parser.parse_args()
    stream = read(given.file)
    ids = filled_orders(stream, int(np.datetime64(given.start, "ns").astype(np.int64)))
    if given.each:
        chosen = random.Random(0).sample(ids, min(given.each, len(ids)))
        found = pl.concat([again(given.file, stream, [order_id], given.tick).orders for order_id in chosen])
        shares = ", ".join(f"{what} {found[f'{what}_agrees'].mean():.1%}" for what in ("fill", "size", "time"))
        print(f"{found.height:,} orders, each alone: agree on {shares}")
    else:
        found = again(given.file, stream, ids, given.tick)
        print(f"all at once: {found}")
        found = found.orders
    print(found.filter(~(pl.col("fill_agrees") & pl.col("size_agrees") & pl.col("time_agrees"))))


if __name__ == "__main__":
    main()

"""What must hold at the end of every run, whatever was traded; checked when its Result is made. A broken one is a bug of Tapeline's, and is told as such.

The queue ahead of an order is checked at each of its changes, by the engines themselves: it never falls below zero.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from tapeline.constants import Status
from tapeline.errors import InvariantError
from tapeline.frames import Records, signed_size
from tapeline.instruments import Instrument


def check_accounts(fills: Records, equity: Records, instruments: Sequence[Instrument]) -> None:
    """Check that each row's last equity sample in each instrument follows from its fills, in exact integers.

    Position = Σ s and cash = −Σ s·p in ticks for signed lots s at ticks p; lots and notionals by liquidity likewise.
    `equity` in order of time. Raises InvariantError.
    """
    places = max(len(instruments), 1)
    cells = fills["row"].astype(np.int64) * places + fills["instrument"]
    samples = equity["row"].astype(np.int64) * places + equity["instrument"]
    count = int(max(cells.max(initial=-1), samples.max(initial=-1))) + 1
    last = np.full(count, -1, np.int64)
    last[samples] = np.arange(len(samples))  # the last assignment stays: samples of a cell are in order of time
    grid = np.array([i.grid for i in instruments], np.int64)
    ticks, off_grid = np.divmod(fills["price"], grid[fills["instrument"]])
    if off_grid.any():
        raise InvariantError(f"fill of order {fills['order_id'][off_grid != 0][0]} at a price off the grid of its instrument")
    lots, size, maker = signed_size(fills), fills["size"], fills["is_maker"]
    expected = {
        "position": lots,
        "cash": -lots * ticks,
        "maker_lots": size * maker,
        "taker_lots": size * ~maker,
        "maker_notional": size * np.abs(ticks) * maker,
        "taker_notional": size * np.abs(ticks) * ~maker,
    }
    for name, parts in expected.items():
        total = np.zeros(count, np.int64)
        np.add.at(total, cells, parts)
        recorded = np.where(last >= 0, equity[name][last] if len(equity) else 0, 0)
        wrong = np.flatnonzero(total != recorded)
        if len(wrong):
            row, place = divmod(int(wrong[0]), places)
            raise InvariantError(
                f"row {row}, {instruments[place].symbol or instruments[place].instrument_id}: the fills make {name} {total[wrong[0]]}, "
                f"the last equity sample says {recorded[wrong[0]]}; please report this as a bug"
            )


def check_orders(fills: Records, orders: Records) -> None:
    """Check that what each order says it has filled is the sum of its fills, that no order fills more than its size, and that FILLED means filled.

    Raises InvariantError.
    """
    filled = np.flatnonzero(orders["filled"])
    keys = {name: np.concatenate((orders[name][filled], fills[name])) for name in ("row", "order_id")}
    said = np.concatenate((orders["filled"][filled], np.zeros(len(fills), np.int64)))
    traded = np.concatenate((np.zeros(len(filled), np.int64), fills["size"]))
    sums = pl.DataFrame(keys | {"said": said, "traded": traded}).group_by("row", "order_id").agg(pl.col("said", "traded").sum())
    differ = sums["said"] != sums["traded"]
    for row, order_id, says, trades in sums.filter(differ).sort("row", "order_id").head(1).iter_rows() if differ.any() else ():
        raise InvariantError(f"row {row}, order {order_id}: its fills sum to {trades}, the order says {says}; please report this as a bug")
    broken = (orders["filled"] > orders["size"]) | ((orders["status"] == Status.FILLED) & (orders["filled"] != orders["size"])) | (orders["ahead_at_end"] < -1)
    refused = orders["status"] == Status.REJECTED  # of any size, negative ones too
    for order in orders[broken & ~refused][:1]:
        raise InvariantError(
            f"row {order['row']}, order {order['order_id']} of {order['size']} lots ended as {Status(order['status']).name} with {order['filled']} filled "
            f"and {order['ahead_at_end']} ahead; please report this as a bug"
        )

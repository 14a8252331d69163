"""Random runs, and what follows from them in plain Python."""

import random

import numpy as np
import polars as pl
from journals import SECOND, START, TICK, Journal, instrument, row

from tapeline.config import Fees

MULTIPLIERS = (50.0, 20.0)
TICK_PRICE = TICK / 1e9


def random_journal(seed: int, rows: int = 2, fills: int = 200, seconds: float = 1.0) -> Journal:
    """Rows with fees of their own trade two instruments at random, a fill every so many seconds; every account is sampled now and then, and at the end."""
    rng = random.Random(seed)
    fees = [Fees(maker=rng.uniform(-1, 1), taker=rng.uniform(0, 2), unit=rng.choice(["contract", "bps"])) for _ in range(rows)]
    journal = Journal([instrument(i, f"S{i}", multiplier=m) for i, m in enumerate(MULTIPLIERS)], [row(f"r{i}", f) for i, f in enumerate(fees)])
    mids = [40_000, -300]
    for n in range(fills):
        place, r = rng.randrange(2), rng.randrange(rows)
        mids[place] += rng.randint(-6, 6)
        lots = rng.choice([-3, -2, -1, 1, 2, 3])
        journal.fill(n * seconds, lots, mids[place] // 2, maker=rng.random() < 0.7, row=r, place=place, market_size=rng.randint(1, 8))
        if rng.random() < 0.5:
            journal.sample((n + 0.5) * seconds, mids[place], row=r, place=place)
    for r in range(rows):
        for place in range(2):
            journal.sample(fills * seconds, mids[place], row=r, place=place)
    return journal


def period_pnl(journal: Journal, rows: set[int], period_s: int) -> np.ndarray:
    """Net PnL of some rows in each period that the run touches, the first from 0: what was last sampled up to its end, minus what was before."""
    equity = journal.result().equity.filter(pl.col("row").is_in(list(rows))).with_columns(ts=pl.col("ts").to_physical())
    times = [s["ts"] for s in journal.samples] + [f["ts_local"] for f in journal.fills]
    first, last = min(times) // (period_s * SECOND), (max(times) - 1) // (period_s * SECOND)
    latest: dict[tuple[int, str], float] = {}
    at_end = {}
    for line in equity.sort("ts", maintain_order=True).iter_rows(named=True):
        latest[line["row"], line["symbol"]] = line["net"]
        at_end[max(line["ts"] - 1, min(times)) // (period_s * SECOND)] = sum(latest.values())
    values, value = [0.0], 0.0
    for period in range(first, last + 1):
        value = at_end.get(period, value)
        values.append(value)
    return np.diff(values)


def random_mids(journal: Journal, seed: int, unknown: float = 0.1) -> pl.DataFrame:
    """Mids around the fills' prices, some of them unknown, as `tapeline.observed` gives them."""
    from tapeline.stats.markouts import MIDS

    rng = random.Random(seed)
    fills = journal.result().fills
    columns = {name: [None if rng.random() < unknown else price + rng.uniform(-2, 2) for price in fills["price"]] for name in MIDS}
    return pl.DataFrame(columns, schema=dict.fromkeys(MIDS, pl.Float64))


__all__ = ["MULTIPLIERS", "SECOND", "START", "TICK_PRICE", "period_pnl", "random_journal", "random_mids"]

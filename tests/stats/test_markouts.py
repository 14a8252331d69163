"""Markouts and the split of PnL, against sums written out."""

import math
from statistics import NormalDist

import polars as pl
import pytest
from plain import MULTIPLIERS, random_journal, random_mids

from tapeline.stats import markouts, statistics
from tapeline.stats.metrics import HORIZONS


def plain_gain(fill: dict, mid: float | None) -> float | None:
    """What one fill gains to a mid, in currency."""
    lots = fill["size"] if fill["side"] == "buy" else -fill["size"]
    return None if mid is None else lots * (mid - fill["price"]) * MULTIPLIERS[int(fill["symbol"][1])]


@pytest.mark.parametrize("seed", range(6))
def test_markouts_and_split(seed: int) -> None:
    """Markouts are means per lot over the fills whose mid is known; spread + adverse selection + the rest = gross PnL."""
    journal, result = random_journal(seed), random_journal(seed).result()
    mids = random_mids(journal, seed)
    frame = statistics(result.fills, result.orders, result.equity, result.contracts, mids).frame
    for line in frame.to_dicts()[:2]:
        own = [(f, m) for f, m in zip(result.fills.to_dicts(), mids.to_dicts(), strict=True) if f["row"] == line["row"]]
        for horizon in HORIZONS:
            known = [(f, plain_gain(f, m[f"mid_{horizon}"])) for f, m in own if m[f"mid_{horizon}"] is not None]
            assert line[f"markout_{horizon}"] == pytest.approx(sum(g for _, g in known) / sum(f["size"] for f, _ in known))
        gains = [(plain_gain(f, m["mid_before"]), plain_gain(f, m["mid_1s"])) for f, m in own]
        assert line["spread_capture"] == pytest.approx(sum(before for before, _ in gains if before is not None))
        assert line["adverse_selection"] == pytest.approx(sum(b - a for a, b in gains if a is not None and b is not None))
        assert line["spread_capture"] + line["adverse_selection"] + line["inventory_pnl"] == pytest.approx(line["pnl_gross"])


def test_without_mids_markouts_are_null_and_the_notes_say_why() -> None:
    """A run whose data is unknown has null markouts and a note, and all else."""
    stats = random_journal(1).result().stats
    names = [f"markout_{h}" for h in HORIZONS] + ["spread_capture", "adverse_selection", "inventory_pnl"]
    assert all(value is None for line in stats.frame.select(names).rows() for value in line)
    assert any("No markouts" in note for note in stats.notes)
    assert stats.frame["pnl_net"].null_count() == 0


@pytest.mark.parametrize("seed", range(4))
def test_the_band_is_that_of_sums_over_minutes(seed: int) -> None:
    """The mean ± 1.96·√(n/(n−1)·Σ away²)/Σ lots over the n minutes with fills, away = what a minute's fills gained beyond the mean."""
    result = random_journal(seed, rows=1, seconds=7.0).result()
    fills = result.fills.with_columns(pl.col("symbol").cast(pl.String)).filter(pl.col("symbol") == "S0")
    gains = markouts.with_gains(result.fills.with_columns(multiplier=pl.lit(50.0)), random_mids(random_journal(seed, rows=1, seconds=7.0), seed, unknown=0.0))
    curve = markouts.markout_curve(gains.filter(pl.col("symbol").cast(pl.String) == "S0"), ["row"])
    assert curve["horizon"].to_list() == list(HORIZONS)
    gains = gains.filter(pl.col("symbol").cast(pl.String) == "S0")
    lots = sum(fills["size"])
    for line in curve.to_dicts():
        values = list(zip(gains["ts_event"].to_physical() // (60 * 10**9), gains["size"], gains[f"gain_{line['horizon']}"], strict=True))
        mean = sum(gain for _, _, gain in values) / lots
        minutes: dict[int, float] = {}
        for minute, size, gain in values:
            minutes[minute] = minutes.get(minute, 0.0) + gain - mean * size
        error = math.sqrt(len(minutes) / (len(minutes) - 1) * sum(x * x for x in minutes.values())) / lots
        assert (line["mean"], line["fills"]) == (pytest.approx(mean), len(values))
        half = NormalDist().inv_cdf(0.975) * error
        assert (line["low"], line["high"]) == (pytest.approx(mean - half), pytest.approx(mean + half))

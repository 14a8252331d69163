"""Fewer points that look the same."""

import numpy as np
import pytest

from tapeline.report.downsample import minmax


@pytest.mark.parametrize("n", [0, 1, 2, 99, 100, 101, 1_000, 99_999])
def test_extremes_and_ends_are_kept(n: int) -> None:
    """At most about the asked number of points, growing, with first, last, least and greatest of all, and of every run between two kept ones."""
    values = np.random.default_rng(n).normal(size=n).cumsum()
    kept = minmax(values, 100)
    assert len(kept) <= max(102, 0) if n > 100 else len(kept) == n
    assert (np.diff(kept) > 0).all()
    if n:
        assert {0, n - 1, int(values.argmin()), int(values.argmax())} <= set(kept.tolist())


def test_every_pixel_keeps_its_range() -> None:
    """In each of the runs the least and the greatest are kept."""
    values = np.random.default_rng(7).normal(size=10_000)
    kept = set(minmax(values, 202).tolist())
    for start in range(0, 10_000, 100):
        run = values[start : start + 100]
        assert {start + int(run.argmin()), start + int(run.argmax())} <= kept


def test_unknown_values_are_passed_over() -> None:
    """NaN hide no extremes, and runs of NaN alone are no error."""
    values = np.random.default_rng(3).normal(size=5_000)
    values[1_000:2_500] = np.nan
    values[::3] = np.nan
    kept = minmax(values, 100)
    assert {int(np.nanargmin(values)), int(np.nanargmax(values))} <= set(kept.tolist())

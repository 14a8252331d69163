"""The compiled engine records what the reference records, to the last bit: random markets and venues, strategies that do anything and look at everything."""

import os

import pytest
from duels import SEVERAL, SINGLE, Case, cases
from hypothesis import HealthCheck, given, settings

from tapeline.runner import uses

EXAMPLES = int(os.environ.get("TAPELINE_EXAMPLES", "0"))
"""How many random runs; the ordinary run has few, always the same. Some thousands search for differences: hypothesis prints what reproduces one."""
SEARCH = settings(deadline=None, print_blob=True, derandomize=not EXAMPLES, suppress_health_check=list(HealthCheck), database=None)


@given(case=cases())
@settings(SEARCH, max_examples=EXAMPLES or 48)
def test_random_runs_agree(case, tmp_path_factory):
    """Fills, orders, equity, signals and counters of a random run are equal in both engines. Signals hold a digest of every value that strategies can see."""
    found = case.compared(tmp_path_factory.mktemp("case"))
    assert found.is_equal, str(found)


def test_random_runs_are_worth_running(tmp_path):
    """A dozen runs drawn from seeds agree, and have fills, orders, equity and signals: what is compared is there."""
    found = [Case.seeded(seed).compared(tmp_path) for seed in range(12)]
    assert [str(comparison) for comparison in found if not comparison.is_equal] == []
    for frame in ("fills", "orders", "equity", "signals"):
        assert sum(comparison.lines[frame] for comparison in found) > 100, f"no {frame}: the test tests nothing"


@pytest.mark.parametrize("classes", [SINGLE, SEVERAL])
def test_random_runs_have_both_kinds_of_classes(classes):
    """Some of their classes may look at features and some cannot, which are shown markets in another way: a helper with the name in it would end that."""
    assert {uses(cls, "features") for cls in classes} == {False, True}


@pytest.mark.nojit
@given(case=cases(events_max=30))
@settings(SEARCH, max_examples=EXAMPLES or 10)
def test_random_runs_agree_without_the_jit(case, tmp_path_factory):
    """The same holds for kernels that run as plain Python; without the JIT this compares the kernels' text with the reference, with it their compiled form."""
    found = case.compared(tmp_path_factory.mktemp("case"))
    assert found.is_equal, str(found)

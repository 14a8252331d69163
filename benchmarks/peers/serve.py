"""How a worker talks to run.py: it says what it can do, then does what it is told, once per line. Nothing but the standard library, as it runs everywhere."""

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

Work = Callable[[], dict[str, Any]]


def serve(packages: list[str], works: dict[str, Work]) -> None:
    """Do each work once, so that it is compiled; announce; then a work per line of stdin, a line of JSON for each.

    A work gives what it counted. `seconds` and `cpu_seconds` among it are what counts (see `timed`); without, the whole of the work does. What libraries print
    goes to stderr.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for work in works.values():
        work()
    print(json.dumps({"versions": {name: version(name) for name in packages}, "works": list(works)}), file=answers)
    for line in sys.stdin:
        whole, counted = timed(works[line.strip()])
        print(json.dumps({**whole, **counted}), file=answers)


def timed(work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """What a work took, by the clock and of all cores, and what it gave."""
    start, cpu = time.perf_counter(), time.process_time()
    result = work()
    return {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}, result

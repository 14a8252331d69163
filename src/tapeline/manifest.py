"""The manifest of a run: everything that is needed to run it again, and to see that two runs were of the same input."""

import dataclasses
import hashlib
import math
import platform
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import Enum
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np

from tapeline.frames import Row, labels_of
from tapeline.instruments import Instrument

PACKAGES: Final = ("tapeline", "numpy", "numba", "polars", "databento-dbn")
HASH_WHOLE_BYTES_MAX: Final = 1 << 23
"""Files up to this size are hashed whole (10 ms); hashing takes longer than replaying, 50 to 90 ns per record."""
HASH_BLOCKS: Final = 128
HASH_BLOCK_BYTES: Final = 1 << 16


def make_manifest(  # noqa: PLR0913 - one keyword per part of the manifest
    *,
    data: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    rows: Sequence[Row],
    instruments: Sequence[Instrument],
    counters: Mapping[str, int],
    seconds: float,
    interrupted: bool = False,
    error: str | None = None,
) -> dict[str, Any]:
    """A JSON-able description of a run: versions, platform, inputs with their hashes, settings, rows, time taken.

    `data`: the files' fingerprints, of before they were read. `settings`: what was given to Backtest, plain values or this package's dataclasses.
    `seconds`: wall time of the replay, without compiling.
    """
    records, events = counters.get("records", 0), counters.get("events", 0)
    return {
        "versions": versions(),
        "platform": platform.platform(),
        "data": list(data),
        "settings": plain(settings),
        "strategies": [{**plain(row._asdict()), "label": label, "row": i} for i, (row, label) in enumerate(zip(rows, labels_of(rows), strict=True))],
        "instruments": [plain(instrument) for instrument in instruments],
        "seconds": seconds,
        "records": records,
        "events": events,
        "events_per_second": events / seconds if seconds > 0 else None,
        "records_per_second": records / seconds if seconds > 0 else None,
        "interrupted": interrupted,
        "error": error,
    }


def differing(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the parameters in which a manifest's rows of one class differ, as declared."""
    return [name for name, value in rows[0]["parameters"].items() if any(row["parameters"][name] != value for row in rows)]


def parameters_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a manifest's row as people read them: members of enumerations by their names."""
    return {**row["parameters"], **row.get("words", {})}


def varied(manifest: Mapping[str, Any]) -> dict[int, dict[str, str]]:
    """By row, the parameters in which rows of its class differ, as people read them."""
    classes: dict[str, list[Any]] = {}
    for row in manifest.get("strategies", []):
        classes.setdefault(row["strategy"], []).append(row)
    names = {strategy: differing(rows) for strategy, rows in classes.items()}
    return {row["row"]: {name: str(parameters_of(row)[name]) for name in names[strategy]} for strategy, rows in classes.items() for row in rows}


def market_settings(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that say what market a run saw, for those who read its data again."""
    settings = {name: manifest["settings"].get(name) for name in ("tick_size", "definitions", "instruments", "exclude_orders")}
    if isinstance(settings["instruments"], list):  # JSON knows no tuples: a publisher and an id are a key again
        settings["instruments"] = [tuple(name) if isinstance(name, list) else name for name in settings["instruments"]]
    return settings


def fingerprint(path: str | Path) -> dict[str, Any]:
    """Path, size and SHA-256 of a file; of a large one, of its size and HASH_BLOCKS evenly spaced blocks (`"hash": "sha256-sampled"`).

    Sampling tells files apart that were mixed up or cut; it is no protection against forgery.
    """
    path = Path(path)
    stat = path.stat()
    if stat.st_size <= HASH_WHOLE_BYTES_MAX:
        with path.open("rb") as file:
            kind, digest = "sha256", hashlib.file_digest(file, "sha256").hexdigest()
    else:
        kind, digest = "sha256-sampled", _sampled(path.absolute(), stat.st_size, stat.st_mtime_ns)
    return {"path": str(path), "bytes": stat.st_size, "hash": kind, "digest": digest}


@lru_cache(maxsize=256)
def _sampled(path: Path, size: int, _written_ns: int) -> str:
    """Digest of a large file as it was written at a time: who makes many runs over it waits once (8 ms)."""
    digest = hashlib.sha256(size.to_bytes(8, "little"))
    with path.open("rb") as file:
        for i in range(HASH_BLOCKS):
            file.seek((size - HASH_BLOCK_BYTES) * i // (HASH_BLOCKS - 1))
            digest.update(file.read(HASH_BLOCK_BYTES))
    return digest.hexdigest()


def plain(value: Any) -> Any:  # noqa: PLR0911 - one per kind of value
    """`value` as JSON knows it: dataclasses, mappings, sequences, enums, paths and NumPy scalars become plain; all else, and numbers JSON lacks, their repr."""
    match value:
        case Enum():
            return value.name
        case float() if not math.isfinite(value):
            return repr(value)
        case np.floating():  # of 32 bits: the number that it shows, and not its binary expansion
            return plain(float(str(value)))
        case Decimal():
            return str(value)
        case None | bool() | int() | float() | str():
            return value
        case Path():
            return str(value)
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset() | range():
            return [plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return plain(value.tolist()) if hasattr(value, "tolist") else repr(value)


def versions() -> dict[str, str | None]:
    """Versions of Python, this package and what its numbers depend on."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

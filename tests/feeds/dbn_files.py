"""Files for the tests of the DBN feed: real ones where they are present, and small ones made here."""

from pathlib import Path

import databento_dbn
import numpy as np
import pytest
import zstandard

from tapeline.feeds.dbn import DbnInput, records
from tapeline.feeds.dbn_write import write_mbo
from tapeline.schema import MBO

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "databento"


def real(name):
    """The path of a real file; the test is skipped where it is absent."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the market data file {path.name} is not here: real data is not part of the project")
    return path


def some_records(count, instrument_id=7, first=0):
    """`count` adds, recognisable by their order ids, `first` + 1 and up."""
    rows = np.zeros(count, MBO)
    rows["length"], rows["rtype"], rows["publisher_id"], rows["instrument_id"] = 14, 160, 1, instrument_id
    rows["order_id"] = np.arange(first + 1, first + count + 1)
    rows["ts_event"] = rows["ts_recv"] = 1_700_000_000_000_000_000 + rows["order_id"].astype(np.int64)
    rows["price"], rows["size"], rows["flags"], rows["action"], rows["side"] = 100_000_000_000, 1, 128, ord("A"), ord("B")
    return rows


def write(path, *arrays, version=3):
    """Write a file with one symbol, and return its path."""
    write_mbo(path, arrays, dataset="TEST.DBN", symbols={7: "SEVEN"}, start_ns=1_700_000_000_000_000_000, version=version)
    return path


def header(version=3, **changes):
    """Encoded metadata without symbols."""
    shape = {"dataset": "TEST.DBN", "start": 0, "stype_in": databento_dbn.SType("raw_symbol"), "stype_out": databento_dbn.SType("instrument_id")}
    return databento_dbn.Metadata(**{**shape, "schema": databento_dbn.Schema("mbo"), **changes}, version=version).encode()


def other_record(words, rtype=18):
    """A record of another type, `words` of 4 bytes long."""
    return bytes([words, rtype]) + bytes(words * 4 - 2)


def read(*paths, chunk_bytes=1 << 16):
    """All MBO records of an input as one array, the error that ended it (or None), and the input."""
    source = DbnInput(paths, chunk_bytes=chunk_bytes)
    found, error = [], None
    try:
        found.extend(run for run, _ in records(source))  # views are kept on purpose: none may change
    except Exception as caught:  # noqa: BLE001 - returned, for the test to judge
        error = caught
    return np.concatenate([np.zeros(0, MBO), *found]), error, source


def compressed(path, content, **options):
    """Write `content` as one zstd frame."""
    path.write_bytes(zstandard.ZstdCompressor(**options).compress(content))
    return path

"""Files of statuses and definitions: whatever they hold, they are read, or it is told where they are damaged."""

from pathlib import Path
from typing import Any

import pytest
from status_files import CLOSE, PRE_OPEN, TRADING, write_status

from tapeline.errors import DataError
from tapeline.feeds.dbn_write import write_mbo
from tapeline.feeds.definitions import read_definitions
from tapeline.feeds.status import read_status

SIZES = {1: 360, 2: 400, 3: 520}
"""Of a definition, by version."""


def write_definitions(path: Path, version: int) -> Path:
    """Two definitions that define nothing, with a record of another type between them."""
    write_mbo(path, [], dataset="TEST.DBN", symbols={7: "SEVEN"}, start_ns=1_700_000_000_000_000_000, version=version)
    one = bytes([SIZES[version] // 4, 19, 1, 0, 7, 0, 0, 0]) + bytes(SIZES[version] - 8)
    path.write_bytes(path.read_bytes() + one + bytes([4, 22]) + bytes(14) + one)
    return path


def status_of(path: Path) -> Any:
    """What a status file says."""
    return read_status([path])


def damaged(content: bytes, place: int) -> list[bytes]:
    """A file with something wrong at a place: all bits of a byte, one bit, nothing for eight bytes, too much, all cut off."""
    flipped, bit = (content[:place] + bytes([content[place] ^ mask]) + content[place + 1 :] for mask in (0xFF, 4))
    rest = content[place + 8 :]
    return [flipped, bit, content[:place] + bytes(8) + rest, content[:place] + b"\xff" * 8 + rest, content[:place]]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_definitions_of_every_version_are_read(tmp_path: Path, version: int) -> None:
    """The last definition of an instrument counts; other records between them are passed over."""
    assert set(read_definitions(write_definitions(tmp_path / "x.dbn", version))) == {(1, 7)}


@pytest.mark.parametrize("kind", ["status", "v1", "v2", "v3"])
def test_damage_anywhere_is_told(tmp_path: Path, kind: str) -> None:
    """Wherever a file is damaged, the outcome is what it says, or a DataError that names it: no error of another kind, and no panic of the library's."""
    path = tmp_path / "x.dbn"
    if kind == "status":
        write_status(path, [(10**18 + k, 1, action) for k, action in enumerate((PRE_OPEN, TRADING, CLOSE))])
    else:
        write_definitions(path, int(kind[1]))
    read, content, told = status_of if kind == "status" else read_definitions, path.read_bytes(), list[str]()
    for place in range(0, len(content), 3):
        for other in damaged(content, place):
            path.write_bytes(other)
            try:
                read(path)
            except DataError as error:
                told.append(str(error))
    assert len(told) > len(content) // 3  # those that are cut, at least
    assert all(str(path) in text for text in told)


def test_a_record_of_an_impossible_length_is_named(tmp_path: Path) -> None:
    """A status that is shorter than statuses are, is told by its number and place."""
    path = write_status(tmp_path / "x.dbn", [(10**18, 1, TRADING), (10**18 + 5, 1, CLOSE)])
    content = path.read_bytes()
    path.write_bytes(content[:-40] + b"\x05" + content[-39:])
    with pytest.raises(DataError, match=rf"record 2, at byte {len(content) - 40:,}, is said to have 20 bytes, which no such record has"):
        read_status([path])


def test_times_of_a_status(tmp_path: Path) -> None:
    """One that is undefined is the other; one behind all times is told."""
    path = write_status(tmp_path / "x.dbn", [(10**18, 1, TRADING)])
    content = bytearray(path.read_bytes())
    content[-32:-24] = b"\xff" * 8  # ts_event
    path.write_bytes(content)
    (changes,) = read_status([path]).values()
    assert (changes[0].ts, changes[0].ts_recv) == (10**18 + 5, 10**18 + 5)
    content[-32:-24] = (2**63).to_bytes(8, "little")
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"status 1: {2**63} is no time"):
        read_status([path])

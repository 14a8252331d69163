"""Just enough of Apache Arrow's file format to write flat columns of fixed width, uncompressed, so that they can be mapped into memory and read by others.

Source: the Arrow columnar format, "IPC file format", and its Schema.fbs, Message.fbs, File.fbs (metadata version V5), encoded as FlatBuffers. A library for
this would be the largest dependency by far.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

MAGIC: Final = b"ARROW1"
ALIGNMENT: Final = 128
"""Arrow asks for 64 bytes; checksums are of twice as many at a time."""
_V5: Final = 4
_SCHEMA, _RECORD_BATCH = 1, 3
_INT, _TIMESTAMP, _NANOSECOND = 2, 10, 3
_CONTINUATION: Final = b"\xff\xff\xff\xff"


@dataclass(frozen=True)
class Table:
    """A FlatBuffers table: its fields in order, each None, (struct format, number), or something that is laid out behind it."""

    fields: Sequence[Any]


def serialise(root: Table) -> bytes:
    """A FlatBuffers buffer. Children follow their parents, so that all offsets point forwards."""
    out = bytearray(4)
    struct.pack_into("<I", out, 0, _put_table(out, root))
    out += bytes(-len(out) % 8)
    return bytes(out)


def _put(out: bytearray, node: Any) -> int:
    match node:
        case Table():
            return _put_table(out, node)
        case str():
            text = node.encode()
            out += bytes(-len(out) % 4) + struct.pack("<I", len(text)) + text + b"\0"
            return len(out) - len(text) - 5
        case np.ndarray():  # a vector of structures
            out += bytes(-(len(out) + 4) % 8) + struct.pack("<I", len(node)) + node.tobytes()
            return len(out) - node.nbytes - 4
        case _:  # a vector of tables
            out += bytes(-len(out) % 4)
            place = len(out)
            out += struct.pack("<I", len(node)) + bytes(4 * len(node))
            for i, child in enumerate(node):
                at = place + 4 + 4 * i
                struct.pack_into("<I", out, at, _put(out, child) - at)
            return place


def _put_table(out: bytearray, table: Table) -> int:
    places, end = [], 4
    for field in table.fields:
        size = 0 if field is None else struct.calcsize(field[0]) if isinstance(field, tuple) else 4
        end += -end % size if size else 0
        places.append(end if size else 0)
        end += size
    vtable_size = 4 + 2 * len(places)
    out += bytes(-(len(out) + vtable_size) % 8)
    out += struct.pack(f"<{2 + len(places)}H", vtable_size, end, *places)
    start = len(out)
    out += struct.pack("<i", vtable_size) + bytes(end - 4)
    for field, place in zip(table.fields, places, strict=True):
        if isinstance(field, tuple):
            struct.pack_into("<" + field[0], out, start + place, field[1])
        elif field is not None:
            struct.pack_into("<I", out, start + place, _put(out, field) - start - place)
    return start


def schema(dtype: np.dtype[Any], times: Sequence[str], metadata: Mapping[str, str]) -> Table:
    """Schema of the columns that the fields of a structure become; `times` are nanoseconds UTC."""
    return Table([("h", 0), [_field(name, dtype[name], name in times) for name in dtype.names or ()], _pairs(metadata)])


def _field(name: str, dtype: np.dtype[Any], is_time: bool) -> Table:  # noqa: FBT001 - passed through
    bits, signed = 8 * dtype.itemsize, dtype.kind == "i"
    kind = (_TIMESTAMP, Table([("h", _NANOSECOND), "UTC"])) if is_time else (_INT, Table([("i", bits), ("?", signed)]))
    return Table([name, ("?", False), ("B", kind[0]), kind[1], None, []])


def _pairs(metadata: Mapping[str, str]) -> list[Table]:
    return [Table([key, value]) for key, value in metadata.items()]


def schema_message(content: Table) -> bytes:
    """The message at the start of a file."""
    return _message(_SCHEMA, content, 0)


def batch_layout(dtype: np.dtype[Any], n: int) -> tuple[list[int], int]:
    """Where each column of a batch of `n` rows starts in its body, and the body's length."""
    places, end = [], 0
    for name in dtype.names or ():
        places.append(end)
        end += -(-n * dtype[name].itemsize // ALIGNMENT) * ALIGNMENT
    return places, end


def batch_message(dtype: np.dtype[Any], n: int) -> bytes:
    """The message in front of a batch of `n` rows."""
    places, end = batch_layout(dtype, n)
    nodes = np.array([(n, 0)] * len(places), np.int64)
    sizes = [n * dtype[name].itemsize for name in dtype.names or ()]
    buffers = np.array([pair for place, size in zip(places, sizes, strict=True) for pair in ((place, 0), (place, size))], np.int64)
    return _message(_RECORD_BATCH, Table([("q", n), nodes, buffers]), end)


def _message(kind: int, header: Table, body_bytes: int) -> bytes:
    content = serialise(Table([("h", _V5), ("B", kind), header, ("q", body_bytes)]))
    content += bytes(-(len(content) + 8) % ALIGNMENT)  # bodies start aligned
    return _CONTINUATION + struct.pack("<i", len(content)) + content


def footer(content: Table, blocks: Sequence[tuple[int, int, int]]) -> bytes:
    """The end of a file: schema, and per batch the offset, length of its message and length of its body."""
    entries = np.array(blocks, np.int64).reshape(len(blocks), 3)
    text = serialise(Table([("h", _V5), content, np.empty((0, 3), np.int64), entries]))
    return _CONTINUATION + bytes(4) + text + struct.pack("<i", len(text)) + MAGIC

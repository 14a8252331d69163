"""The DBN feed: any version, alignment and compression; damage is told when everything before it has been given out."""

import itertools
import os
import threading
import time

import databento_dbn
import numpy as np
import pytest
import zstandard
from dbn_files import compressed, header, other_record, read, real, some_records, write

from tapeline.constants import UNDEFINED_TIMESTAMP
from tapeline.errors import ConfigError, DataError
from tapeline.feeds.dbn import DbnInput, bad_record, records, sent, truncated
from tapeline.feeds.dbn_write import write_mbo
from tapeline.inputs import open_input
from tapeline.schema import MBO

TINY = {
    "GLBX.MDP3.mbo.dbn.zst": (4, 0, {5482: "ESH1"}),
    "IFEU.IMPACT.mbo.dbn.zst": (4, 0, {5617221: "BRN FMJ0024!"}),
    "NDEX.IMPACT.mbo.dbn.zst": (4, 0, {5733529: "TFM FMH0024!"}),
    "XNAS.ITCH.mbo.dbn.zst": (4, 0, {6155: "NVDA"}),
    "LIVE.dbn.zst": (5, 41, {}),
    "test_data.mbo.dbn": (2, 0, {5482: "ESH1"}),
    "test_data.mbo.v1.dbn.zst": (2, 0, {5482: "ESH1"}),
    "test_data.mbo.v2.dbn.zst": (2, 0, {5482: "ESH1"}),
    "test_data.mbo.v3.dbn": (2, 0, {5482: "ESH1"}),
    "test_data.mbo.v3.dbn.zst": (2, 0, {5482: "ESH1"}),
    "test_data.mbp-10.v3.dbn.zst": (0, 2, {5482: "ESH1"}),
    "test_data.trades.v3.dbn.zst": (0, 2, {5482: "ESH1"}),
}


@pytest.mark.parametrize("name", TINY)
def test_reads_every_tiny_file(name):
    """Real files of all versions and several venues have the records, symbols and other types that they are known to have."""
    count, skipped, symbols = TINY[name]
    found, error, source = read(real(f"tiny/{name}"))
    assert (len(found), source.records_skipped, source.symbols, error) == (count, skipped, symbols, None)


@pytest.mark.parametrize("name", ["tiny/test_data.mbo.v1.dbn.zst", "tiny/XNAS.ITCH.mbo.dbn.zst", "esh4-20231225.mbo.dbn.zst"])
def test_agrees_with_databentos_decoder(name):
    """Every field of every record is what databento_dbn reads."""
    path = real(name)
    decoder = databento_dbn.DBNDecoder(compression=databento_dbn.Compression.ZSTD)
    decoder.write(path.read_bytes())
    theirs = [record for record in decoder.decode() if isinstance(record, databento_dbn.MBOMsg)]
    ours, error, _ = read(path)
    assert error is None
    assert len(ours) == len(theirs)
    for field in ("instrument_id", "publisher_id", "order_id", "price", "size", "ts_in_delta", "sequence", "channel_id"):
        assert ours[field].tolist() == [getattr(record, field) for record in theirs], field
    assert ours["flags"].tolist() == [int(record.flags) for record in theirs]
    assert [chr(action) for action in ours["action"].tolist()] == [record.action.value for record in theirs]
    assert ours["ts_event"].astype(np.uint64).tolist() == [record.ts_event for record in theirs]


def test_refuses_dbz_and_says_how_to_convert():
    """The format before DBN is named, with the command that converts it."""
    with pytest.raises(DataError, match=r"DBZ.*\n?.*dbn .*\.dbn\.zst"):
        DbnInput([real("tiny/test_data.mbo.dbz")])


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("suffix", [".dbn", ".dbn.zst"])
def test_write_then_read_gives_the_same(tmp_path, version, suffix):
    """What is written is read back by us and by databento_dbn, whatever the version."""
    rows = some_records(1_000)
    path = write(tmp_path / f"x{suffix}", rows[:300], rows[300:], version=version)
    found, error, source = read(path)
    assert error is None
    assert (found == rows).all()
    assert (source.files[0].version, source.symbols) == (version, {7: "SEVEN"})
    compression = databento_dbn.Compression.ZSTD if suffix == ".dbn.zst" else databento_dbn.Compression.NONE
    decoder = databento_dbn.DBNDecoder(compression=compression)
    decoder.write(path.read_bytes())
    assert [record.order_id for record in decoder.decode()[1:]] == rows["order_id"].tolist()


@pytest.mark.parametrize("name", ["x.dbn", "x.dbn.zst"])
def test_unaligned_records_are_views(tmp_path, name):
    """Records that start at an odd byte, as version 2's do, are given out as a view and not as a copy."""
    source = DbnInput([write(tmp_path / name, some_records(3), version=2)])
    assert source.files[0].header_bytes % 2 == 1
    ((run, _),) = records(source)
    assert not run.flags.owndata
    assert run["order_id"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_truncation_at_every_byte(tmp_path, version):
    """Cut anywhere, all whole records before the cut are given out, and unless it is between two records a DataError names the file."""
    whole = write(tmp_path / "whole.dbn", some_records(3), version=version).read_bytes()
    start = len(whole) - 3 * MBO.itemsize
    path = tmp_path / "cut.dbn"
    for size in range(1, len(whole)):
        path.write_bytes(whole[:size])
        found, error, _ = read(path)
        left, rest = divmod(max(size - start, 0), MBO.itemsize)
        assert found["order_id"].tolist() == [1, 2, 3][:left], size
        if size < start or rest:
            assert isinstance(error, DataError), size
            assert "cut.dbn" in str(error)
        else:
            assert error is None, size
        if size > start and rest:
            assert f"record {left + 1}:" in str(error)
            assert f"byte {start + left * MBO.itemsize:,}" in str(error)


@pytest.mark.parametrize("chunk_bytes", [64, 1 << 12, 1 << 20])
def test_zstd_truncation(tmp_path, chunk_bytes):
    """A compressed file that ends too early gives what decompresses, then an error with the byte of the decompressed content."""
    rows = some_records(20_000)
    rows["order_id"] = np.random.default_rng(1).integers(1, 2**62, len(rows))  # hard to compress: many blocks
    whole = write(tmp_path / "whole.dbn.zst", rows).read_bytes()
    path = tmp_path / "cut.dbn.zst"
    most = 0
    for size in (4, 5, 9, 50, 400, len(whole) // 2, len(whole) - 5, len(whole) - 1):
        path.write_bytes(whole[:size])
        found, error, _ = read(path, chunk_bytes=chunk_bytes)
        assert isinstance(error, DataError), size
        assert "cut.dbn.zst" in str(error)
        assert (found == rows[: len(found)]).all()
        most = max(most, len(found))
    assert most == len(rows), "only the checksum was cut: every record is there"


@pytest.mark.parametrize("chunk_bytes", [200, 1 << 17, 1 << 20])
def test_zstd_corruption_gives_what_is_before_it(tmp_path, chunk_bytes):
    """Behind a damaged block nothing is read, before it everything; the chunk size changes neither."""
    rows = some_records(30_000)
    rows["order_id"] = np.random.default_rng(2).integers(1, 2**62, len(rows))
    content = bytearray(write(tmp_path / "x.dbn.zst", rows).read_bytes())
    damaged = len(content) * 2 // 3
    content[damaged : damaged + 64] = bytes(64)
    path = tmp_path / "damaged.dbn.zst"
    path.write_bytes(content)
    found, error, _ = read(path, chunk_bytes=chunk_bytes)
    assert isinstance(error, DataError)
    assert "damaged.dbn.zst" in str(error)
    assert "byte" in str(error)
    assert len(rows) * 0.5 < len(found) < len(rows) * 0.67
    assert (found == rows[: len(found)]).all()
    assert len(found) == len(read(path, chunk_bytes=1 << 22)[0])


def test_zstd_garbage_behind_the_data(tmp_path):
    """Bytes behind the last frame that are none are damage, behind all records."""
    path = write(tmp_path / "x.dbn.zst", some_records(10))
    path.write_bytes(path.read_bytes() + b"garbage!" * 4)
    found, error, _ = read(path)
    assert len(found) == 10
    assert isinstance(error, DataError)


def test_several_zstd_frames_are_one_file(tmp_path):
    """A file may be a concatenation of frames, skippable ones among them."""
    path = tmp_path / "x.dbn.zst"
    skippable = b"\x5a\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    parts = [header(), some_records(5).tobytes()[:100], some_records(5).tobytes()[100:]]
    path.write_bytes(zstandard.compress(parts[0]) + skippable + zstandard.compress(parts[1]) + zstandard.compress(parts[2]))
    found, error, _ = read(path)
    assert error is None
    assert found["order_id"].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("chunk_bytes", [1, 13, 55, 56, 57, 500, 4_096])
def test_chunk_size_changes_nothing(tmp_path, chunk_bytes):
    """Records that straddle any number of chunks are put together, with other types in between."""
    rows = some_records(40)
    content = header(version=2)
    for i in range(0, 40, 4):
        content += other_record(4 + i) + rows[i : i + 4].tobytes()
    path = compressed(tmp_path / "x.dbn.zst", content)
    found, error, source = read(path, chunk_bytes=chunk_bytes)
    assert error is None
    assert (found == rows).all()
    assert source.records_skipped == 10


def test_a_consumer_that_leaves_tails(tmp_path):
    """What a consumer leaves is in front of the next span, at the offset it had; damage it meets is named by record and byte."""
    rows = some_records(100)
    path = compressed(tmp_path / "x.dbn.zst", header() + rows.tobytes()[:-1])
    start = len(header())
    seen = b""
    for span in DbnInput([path], chunk_bytes=100).spans():
        assert span.offset == start + len(seen)
        assert not span.data.flags.writeable
        span.consumed = len(span.data) // 56 * 56 if span.final else min(len(span.data), 30)
        seen += span.data[: span.consumed].tobytes()
    assert seen == rows.tobytes()[: 99 * 56]
    assert "record 100:" in str(truncated(span, span.consumed, 100))
    assert f"byte {start + 99 * 56:,}" in str(bad_record(span, span.consumed, 100))


def test_views_stay_as_they_are(tmp_path):
    """A chunk that somebody still looks at is not overwritten by a later one."""
    rows = some_records(5_000)
    source = DbnInput([write(tmp_path / "x.dbn.zst", rows)], chunk_bytes=5_600)
    kept = []
    for span in source.spans():
        span.consumed = len(span.data)
        kept.append(span.data)
    assert b"".join(data.tobytes() for data in kept) == rows.tobytes()


def test_several_files_in_order(tmp_path):
    """Files are read in the order given; the last run of each says so, and one without records in between is no harm."""
    first, last = some_records(10), some_records(5, first=10)
    paths = [write(tmp_path / "a.dbn.zst", first), write(tmp_path / "none.dbn"), write(tmp_path / "b.dbn", last)]
    runs = list(records(DbnInput(paths, chunk_bytes=300)))
    assert [row for run, _ in runs for row in run["order_id"].tolist()] == list(range(1, 16))
    counts = [len(run) for run, _ in runs]
    ends = [sum(counts[: i + 1]) for i, (_, is_last) in enumerate(runs) if is_last]
    assert ends == [10, 15]


@pytest.mark.parametrize("name", ["x.dbn", "x.dbn.zst", "x.tape"])
def test_a_file_of_no_bytes_is_damaged(tmp_path, name):
    """What a failed download leaves is told by its name when its turn comes; a sound file without records, which has a header, is none of the kind."""
    path = tmp_path / name
    path.write_bytes(zstandard.compress(b"") if name.endswith(".zst") else b"")
    found, error, _ = read(write(tmp_path / "a.dbn", some_records(10)), path)
    assert len(found) == 10
    assert f"{name}: damaged, so none of its records can be read: it is empty. Get the file again." in str(error)
    assert read(write(tmp_path / "none.dbn"))[1] is None


def test_damage_in_the_second_file(tmp_path):
    """The first file is given out whole before the damage of the second is told, even if that is in its metadata."""
    first = write(tmp_path / "a.dbn", some_records(3))
    second = tmp_path / "b.dbn"
    second.write_bytes(header()[:30])
    found, error, _ = read(first, second)
    assert len(found) == 3
    assert isinstance(error, DataError)
    assert "b.dbn" in str(error)
    assert "metadata" in str(error)


@pytest.mark.parametrize("name", ["b.dbn", "b.dbn.zst"])
def test_a_file_that_vanishes_before_its_turn(tmp_path, name):
    """The first file is given out whole; that the second is there no more is damage."""
    source = DbnInput([write(tmp_path / "a.dbn", some_records(3)), write(tmp_path / name, some_records(3))])
    (tmp_path / name).unlink()
    runs = records(source)
    assert len(next(runs)[0]) == 3
    with pytest.raises(DataError, match=f"{name}: could be read at first, and cannot be now: No such file"):
        next(runs)


@pytest.mark.parametrize("left", [0, 10, 4_000, 300_000])
def test_a_file_that_is_cut_while_it_is_read(tmp_path, left):
    """What lay behind its new end kills nobody: all before, views of which may be used until the next is asked for, is given out, then a DataError names it."""
    rows = some_records(100_000)
    path = write(tmp_path / "x.dbn", rows)
    found: list[int] = []

    def read_all():
        for run, _ in records(DbnInput([path], chunk_bytes=1 << 14)):
            found.extend(run["order_id"].tolist())
            os.truncate(path, left)

    with pytest.raises(DataError, match=rf"x\.dbn: was cut to {left:,} bytes while it was read; everything before was read"):
        read_all()
    assert found == list(range(1, len(found) + 1))
    assert len(found) >= 9_000


def test_a_file_that_grows_while_it_is_read(tmp_path):
    """Of a plain file what was there when its turn came is read, to the byte."""
    rows = some_records(100_000)
    path, found = write(tmp_path / "x.dbn", rows), []
    for run, _ in records(DbnInput([path], chunk_bytes=1 << 14)):
        found += run["order_id"].tolist()
        with path.open("ab") as file:
            file.write(rows[:100].tobytes())
    assert found == rows["order_id"].tolist()


@pytest.mark.parametrize(("content", "what"), [(bytes([2, 18]) + bytes(6), "8 bytes"), (bytes([13, 160]) + bytes(50), "52 bytes"), (bytes(60), "0 bytes")])
def test_impossible_records(tmp_path, content, what):
    """A record shorter than its header, or an MBO record of another size, is damage at its byte, behind all before it."""
    path = tmp_path / "x.dbn"
    path.write_bytes(header() + some_records(4).tobytes() + content + some_records(4).tobytes())
    found, error, _ = read(path)
    assert len(found) == 4
    assert isinstance(error, DataError)
    assert what in str(error)
    assert "record 5," in str(error)
    assert f"byte {len(header()) + 4 * 56:,}" in str(error)


def test_ts_out(tmp_path):
    """Where the metadata says so, each MBO record has eight bytes more, which are passed over."""
    rows = some_records(6)
    path = tmp_path / "live.dbn"
    body = b"".join(bytes([16]) + row.tobytes()[1:] + bytes(8) for row in rows)
    path.write_bytes(header(ts_out=True) + body)
    found, error, source = read(path)
    assert error is None
    assert source.files[0].stride == 64
    assert found["order_id"].tolist() == rows["order_id"].tolist()


def test_what_is_no_dbn_file(tmp_path):
    """A missing file, a directory, a pipe that nobody writes to, and another format are refused at once, with what to do."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "x.csv").write_text("ts_event,price\n")
    (tmp_path / "y.zst").write_bytes(zstandard.compress(b"something else"))
    (tmp_path / "new.dbn").write_bytes(b"DBN\x09" + bytes(100))
    for path, message in (
        (tmp_path / "none", "no such file"),
        (tmp_path / "es*.dbn.zst", r"no such file: a pattern is not expanded here; give sorted\(Path\('.*'\)\.glob\('es\*\.dbn\.zst'\)\)"),
        (tmp_path, "directory"),
        (tmp_path / "pipe", "no file but a pipe or a device"),
        (tmp_path / "x.csv", "no DBN file"),
        (tmp_path / "y.zst", "no DBN file"),
    ):
        with pytest.raises(DataError, match=message):
            open_input(path)
    with pytest.raises(DataError, match="version 9"):
        DbnInput([tmp_path / "new.dbn"])


def test_damaged_metadata_never_raises_anything_else(tmp_path):
    """Any one byte of the metadata may be wrong, or four may be zero, such as a date of a symbol: the outcome is records or a DataError."""
    whole = write(tmp_path / "x.dbn", some_records(2)).read_bytes()
    path = tmp_path / "damaged.dbn"
    for place, n in itertools.product(range(len(whole) - 112), (1, 4)):
        content = bytearray(whole)
        content[place : place + n] = bytes([content[place] ^ 0xFF]) if n == 1 else bytes(n)
        path.write_bytes(content)
        try:
            _, error, _ = read(path)
        except DataError as refused:
            error = refused
        assert error is None or isinstance(error, DataError), place


def test_a_damaged_size_of_the_metadata_is_told_soon(tmp_path):
    """Of a large file, too, which is read up to there in a time that grows as its length does: its square was minutes for a gigabyte."""
    path = tmp_path / "large.dbn"
    with path.open("wb") as file:
        file.write(b"DBN\x03" + (2**31).to_bytes(4, "little"))
        file.truncate(1 << 27)
    started = time.process_time()
    _, error, _ = read(path)
    assert "it ends at byte 134,217,728, inside its metadata" in str(error)
    assert time.process_time() - started < 5


def test_the_thread_ends_with_its_reader(tmp_path):
    """A reader that stops early leaves no thread behind."""
    source = DbnInput([write(tmp_path / "x.dbn.zst", some_records(5_000))], chunk_bytes=1_000)
    reading = source.spans()
    next(reading)
    assert any(thread.name == "tapeline-read-ahead" for thread in threading.enumerate())
    reading.close()
    assert not any(thread.name == "tapeline-read-ahead" for thread in threading.enumerate())


def test_a_failed_write_leaves_the_old_file(tmp_path):
    """The file is replaced when the new one is complete, and not before."""
    path = write(tmp_path / "x.dbn.zst", some_records(3))
    before = path.read_bytes()

    def failing():
        yield some_records(2)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_mbo(path, failing(), dataset="TEST.DBN", symbols={}, start_ns=0)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["x.dbn.zst"]


def test_what_dbn_cannot_hold(tmp_path):
    """Symbols that do not fit and arrays of another type are refused by name."""
    with pytest.raises(ConfigError, match="metadata"):
        write_mbo(tmp_path / "x.dbn", [], dataset="TEST.DBN", symbols={1: "A" * 100}, start_ns=0, version=1)
    with pytest.raises(ConfigError, match=r"schema\.MBO"):
        write_mbo(tmp_path / "x.dbn", [np.zeros(3)], dataset="TEST.DBN", symbols={}, start_ns=0)


def test_times_of_sending_stand_for_those_of_receipt(tmp_path):
    """`sent` gives the same records with ts_recv - ts_in_delta for ts_recv, undefined ones left alone, in chunks of any size; the file stays as it is."""
    array = some_records(100)
    array["ts_in_delta"] = np.arange(100) - 5
    array["ts_recv"][7] = UNDEFINED_TIMESTAMP
    for name in ("x.dbn", "x.dbn.zst"):
        source = DbnInput([write(tmp_path / name, array)], chunk_bytes=1000)
        out = []
        for span in sent(source.spans()):
            whole = len(span.data) // 56 - (not span.final and len(span.data) % 56 == 0)  # as a reader that wants to see the next record
            span.consumed = whole * 56
            out.append(np.frombuffer(span.data[: span.consumed].tobytes(), MBO))
        expected = array.copy()
        expected["ts_recv"] = np.where(array["ts_recv"] == UNDEFINED_TIMESTAMP, array["ts_recv"], array["ts_recv"] - array["ts_in_delta"])
        assert (np.concatenate(out) == expected).all()
        assert (np.concatenate([run.copy() for run, _ in records(source)]) == array).all()


def test_files_of_other_schemas_are_no_input(tmp_path):
    """A file whose metadata names another schema is refused where data is opened: its records would be skipped, and a run do nothing."""
    path = tmp_path / "trades.dbn"
    path.write_bytes(header(schema=databento_dbn.Schema("trades")) + other_record(12, rtype=0))
    with pytest.raises(DataError, match=r"trades\.dbn: holds records of schema 'trades': expected 'mbo'"):
        open_input(path)

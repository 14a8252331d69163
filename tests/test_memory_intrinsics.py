"""What kernels find out about several numbers at once, against its twin in plain Python."""

import math

import numba
import numpy as np

from tapeline.memory import count_bits, exp, filled, first_bit, raise_pair, repeat, ten_filled, write_past


@numba.njit
def compiled(last, bits):
    """All of them."""
    return filled(last), ten_filled(last) == 0, first_bit(bits), count_bits(bits)


@numba.njit
def raise_compiled(to, source):
    """By addresses."""
    raise_pair(to, source)


@numba.njit
def repeat_compiled(to, source):
    """By addresses."""
    repeat(to, source)


@numba.njit
def write_past_compiled(to, source):
    """By addresses."""
    write_past(to, source)


@numba.njit
def exp_compiled(x):
    """Of each of many, as a loop."""
    out = np.empty_like(x)
    for i in range(len(x)):
        out[i] = exp(x[i])
    return out


def test_a_line_is_written_past_the_caches():
    """The 64 bytes of a line become those at any place, compiled and in plain Python; those before and behind them stay."""
    words = np.random.default_rng(4).integers(-(1 << 62), 1 << 62, 41)
    for written in (write_past_compiled, write_past):
        place = words.copy()
        first = -int(place.ctypes.data) % 64 // 8 + 8
        written(int(place[first:].ctypes.data), int(words[25:].ctypes.data))
        assert place.tolist() == [*words[:first].tolist(), *words[25:33].tolist(), *words[first + 8 :].tolist()]


def test_exponentials_are_pythons():
    """To the last bit, in a loop as well, from 1 down to 0, and where there is no number."""
    x = np.concatenate(([0.0, -0.0, -1e300, -745.2, -745.0, math.nan], -(10.0 ** np.random.default_rng(5).uniform(-18, 3, 10_000))))
    wanted = np.array([math.exp(one) for one in x])
    assert exp_compiled(x).tobytes() == wanted.tobytes() == np.array([exp(one) for one in x]).tobytes()


def test_a_number_is_repeated():
    """Eight numbers become what one is, whatever its bits, be it the first of them; compiled and in plain Python; those before and behind them stay."""
    words = np.random.default_rng(3).integers(-(1 << 62), 1 << 62, 12)
    for source in (0, 2):
        expected = [*words[:2], *[words[source]] * 8, *words[10:]]
        for repeated in (repeat_compiled, repeat):
            place = words.copy()
            first = int(place.ctypes.data)
            repeated(first + 16, first + 8 * source)
            assert place.tolist() == [int(word) for word in expected]


def test_pairs_are_raised_each_by_itself():
    """Of two pairs of integers, negative ones too, the greater of each place is left, compiled and in plain Python; the source stays."""
    random = np.random.default_rng(2)
    for _ in range(100):
        to, source = random.integers(-(1 << 62), 1 << 62, (2, 2))
        expected, kept = np.maximum(to, source), source.copy()
        for raised in (raise_compiled, raise_pair):
            place = to.copy()
            raised(int(place.ctypes.data), int(source.ctypes.data))
            assert place.tolist() == expected.tolist()
        assert source.tolist() == kept.tolist()


def test_compiled_and_plain_say_the_same():
    """Which of sixteen numbers are 0, the first and the number of bits: compiled, in plain Python, and counted by hand."""
    random = np.random.default_rng(1)
    for share in (0.0, 0.05, 0.5, 1.0):
        for _ in range(100):
            words = random.integers(1, 1 << 40, 32)
            words[::2] = np.where(random.random(16) < share, 0, words[::2] << 8)
            bits = int(random.integers(1, 1 << 62))
            last = int(words.ctypes.data) + 30 * 8
            is_filled = (words[::2] != 0)[::-1]
            expected = (sum(1 << k for k in range(16) if is_filled[k]), bool(is_filled[:10].all()), f"{bits:b}"[::-1].index("1"), f"{bits:b}".count("1"))
            assert compiled(last, bits) == expected
            assert (filled(last), ten_filled(last) == 0, first_bit(bits), count_bits(bits)) == expected

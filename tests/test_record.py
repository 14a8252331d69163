"""Record: one flat structure, the same compiled and in plain Python."""

import inspect
from typing import Annotated

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from tapeline import jit
from tapeline.desk import OrderReplay
from tapeline.record import Record, bool_, float64, int32, int64, uint8

pytestmark = pytest.mark.nojit
FACTOR = 3


class Point(Record):
    """A nested part."""

    x: int64 = 2
    y: float64


class Base(Record):
    """What others derive from."""

    a: int64 = 1
    weight: float64 = 0.5

    @property
    def doubled(self):
        """A computed attribute."""
        return 2 * self.a

    def grow(self, by, times=1):
        """A method with a default."""
        self.a += by * times
        return self.a


class Derived(Base):
    """A class of its own: new fields, an overridden method, a constant, a nested record, arrays."""

    limit = 7
    flag: bool_
    small: uint8 = 9
    point: Point
    window: (float64, (4,)) = 1.5
    points: (Point, (2,))

    def grow(self, by, times=1):
        """Overrides."""
        self.a -= by * times
        return self.a

    def helped(self, x):
        """Calls another method, a property, a constant and a plain function."""
        return self.grow(x) + self.doubled + self.limit + scale(x)


class Twin(Record):
    """Same layout as Base; other meaning."""

    a: int64
    weight: float64

    def grow(self, by, times=1):
        """Not Base's."""
        return by * 100 + self.a * 0 + times * 0


def scale(x):
    """A plain function beside the classes."""
    return FACTOR * x


def both(function):
    """The function compiled, and as it is."""
    return [jit.compiled(function), function] if jit.JIT else [function]


def test_instances_have_defaults_and_values():
    """Fields are zero but for defaults, nested ones too, and what is given; they read and write as attributes."""
    one = Derived(a=5, flag=True)
    assert (one.a, one.weight, bool(one.flag), one.small, one.limit) == (5, 0.5, True, 9, 7)
    assert (one.point.x, one.point.y) == (2, 0.0)
    assert one.window.tolist() == [1.5] * 4
    assert [p["x"] for p in one.points] == [2, 2]
    one.a = 6
    assert (one["a"], one.doubled) == (6, 12)


def test_help_shows_what_a_class_takes():
    """The signature of a class has its parameters with their types and defaults, and leaves room for state, which may be given, too."""
    assert str(inspect.signature(Base)) == "(*, a: numpy.int64 = 1, weight: numpy.float64 = 0.5, **fields_)"
    assert list(inspect.signature(Derived).parameters) == ["a", "weight", "small", "window", "fields_"]
    assert str(inspect.signature(Record)) == "(**fields_)"


def test_an_array_may_be_declared_as_type_checkers_know_it():
    """`Annotated[what they read, (type, shape)]` is the field that (type, shape) is, of numbers and of records, with a default and without."""

    class Plain(Record):
        values: (float64, (4,)) = 1.5
        points: (Point, (2,))

    class Annotation(Record):
        values: Annotated[NDArray[np.float64], (float64, (4,))] = 1.5
        points: Annotated[list[Point], (Point, (2,))]

    assert Annotation.fields_ == Plain.fields_
    assert repr(Annotation(points=Plain().points)).removeprefix("Annotation") == repr(Plain()).removeprefix("Plain")
    for function in both(lambda record: record.values[3] + record.points[1].x):
        assert function(Annotation()) == 3.5


def test_a_name_may_end_in_an_underscore():
    """A field that avoids a name of Python's by an underscore is a field; those of Record's own attributes are refused."""

    class Ranged(Record):
        range_: int64 = 3

        def doubled(self):
            return 2 * self.range_

    assert (Ranged().doubled(), Ranged(range_=4).doubled()) == (6, 8)
    with pytest.raises(TypeError, match="cannot be named 'fields_'"):
        type("Bad", (Record,), {"__annotations__": {"fields_": int64}})


def test_a_wrong_name_is_refused():
    """Unknown fields raise, when made and when set; NumPy's own attributes cannot be fields."""
    with pytest.raises(TypeError, match="Base has no field 'b'; it has a, weight"):
        Base(b=1)
    with pytest.raises(TypeError, match="no field"):
        Base.array(2, b=1)
    with pytest.raises(AttributeError):
        Base().typo = 1
    with pytest.raises(TypeError, match="cannot be named 'data'"):

        class _Bad(Record):
            data: int64


@pytest.mark.parametrize("values", [{"a": 1.7}, {"a": "x"}, {"a": 1 << 70}, {"a": None}, {"small": 300}, {"weight": "heavy"}])
def test_a_value_that_would_change_is_refused(values):
    """A field takes what it can hold as it is: no whole number keeps 1 of 1.7, in an instance, in an array of them, or as a default."""
    ((name, value),) = values.items()
    for make in (lambda: Derived(**values), lambda: Derived.array(2, **{name: [value, value]})):
        with pytest.raises(TypeError, match=rf"Derived\({name}="):
            make()
    assert Derived(a=2.0, weight=1).a == 2


@pytest.mark.skipif(not jit.JIT, reason="nothing is compiled")
def test_records_of_others_are_theirs():
    """Only Records refuse floats on their whole numbers: a plain structured array in somebody else's compiled code cuts them off, as Numba has it."""
    theirs = np.zeros(1, [("n", "i8")])

    @numba.njit
    def put(record):
        record.n = 1.7

    put(theirs[0])
    assert theirs["n"][0] == 1


def test_a_default_that_would_change_is_refused():
    """A default of 1.5 for a whole number is named when the first instance is made."""

    class _Half(Record):
        size: int64 = 1.5

    with pytest.raises(TypeError, match=r"_Half\(size=1.5\): the field is int64"):
        _Half()


def test_arrays_are_of_instances():
    """`Class.array(n, …)` takes a value for all or one per instance; its elements reference it."""
    rows = Derived.array(3, a=[1, 2, 3], weight=0.25)
    assert rows["a"].tolist() == [1, 2, 3]
    assert rows["small"].tolist() == [9] * 3
    rows[1].a = 20
    assert rows["a"].tolist() == [1, 20, 3]


def test_arrays_are_as_long_as_their_sequences():
    """Without `n` there are as many instances as the sequences have values; one value of an array field is none of these, and `n` may be a field."""

    class Sized(Record):
        n: int64
        window: (float64, (2,))
        weight: float64

    rows = Sized.array(n=range(3), window=[1.0, 2.0], weight=0.5)
    assert rows["n"].tolist() == [0, 1, 2]
    assert rows["window"].tolist() == [[1.0, 2.0]] * 3
    assert Sized.array(window=[[1.0, 2.0]] * 4)["window"].shape == (4, 2)
    assert Sized.array(weight=np.linspace(0, 1, 5), n=list(range(5)))["weight"].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert (Sized.array(weight=[])["weight"].size, Sized.array(2, window=[1.0, 2.0])["window"].shape) == (0, (2, 2))
    for values in ({}, {"weight": 1.0}, {"window": [1.0, 2.0]}, {"n": [1, 2, 3], "weight": [1.0, 2.0]}):
        with pytest.raises(TypeError, match=r"Sized.array\(\): expected sequences of one length, or n, the number of instances, first"):
            Sized.array(**values)
    with pytest.raises(TypeError, match="Sized has no field 'wait'"):
        Sized.array(n=[1, 2], wait=[1, 2])


def test_layout_is_that_of_c():
    """Fields lie at multiples of their alignment, nested structures too; a packed record has no gaps; records of equal layout are different types."""

    class Mixed(Record):
        small: uint8
        large: int64
        part: Point
        half: int32

    class Packed(Record, packed=True):
        small: uint8
        large: int64

    assert [Mixed.dtype_.fields[name][1] for name in Mixed.fields_] == [0, 8, 16, 32]
    assert Mixed.dtype_.itemsize == 40
    assert Packed.dtype_.itemsize == 9
    if jit.JIT:
        assert Base.type_ != Twin.type_


def test_methods_fields_and_properties_are_the_same_compiled():
    """Attributes, methods with defaults and keywords, overrides, properties, constants and helpers mean the same in both."""

    def use(record, twin):
        first = record.grow(10)
        second = record.grow(1, times=2)
        record.window[2] += record.doubled
        record.point.x += 1
        return first, second, record.helped(4), record.window[2], record.point.x, record.limit, twin.grow(3)

    results = [f(Derived(a=100), Twin()) for f in both(use)]
    assert results[0] == results[-1] == (90, 88, 84 + 168 + 7 + 12, 1.5 + 176, 3, 7, 300)


def test_compiled_code_works_on_the_same_memory():
    """What compiled code writes into an array's rows is there for Python, and the other way round."""

    def fill(rows):
        for i in range(len(rows)):
            rows[i].grow(i)
            rows[i].point.y = 0.5 * i

    for function in both(fill):
        rows = Derived.array(3, a=10)
        function(rows)
        assert rows["a"].tolist() == [10, 9, 8]
        assert rows["point"]["y"].tolist() == [0.0, 0.5, 1.0]


def test_a_base_class_keeps_its_own_method():
    """Overriding in a derived class, and equal names in a class of equal layout, change nothing for the base."""

    def grow(record):
        return record.grow(2)

    for function in both(grow):
        assert [function(Base(a=1)), function(Derived(a=1)), function(Twin(a=1))] == [3, -1, 200]


class Scaled:
    """A plain class, to be a base among others."""

    scale: int64 = 3
    OFFSET = 100

    def scaled(self):
        """A method."""
        return self.a * self.scale + self.OFFSET + self.half

    @property
    def half(self):
        """A property."""
        return self.a // 2


class Mixed(Scaled, Base):
    """A record with a mixin: fields, defaults, methods, properties and constants of a class that is no record."""

    b: int64


def test_what_a_plain_base_class_has_is_the_records():
    """Fields with their defaults, methods, properties and constants of a mixin are those of the record that has it, and of those derived from that."""

    class Deeper(Mixed):
        scale: int64 = 5

    def call(record):
        return record.scaled()

    assert list(Mixed.fields_) == [*Base.fields_, "scale", "b"]
    for function in both(call):
        assert [function(Mixed(a=4)), function(Mixed(a=4, scale=2)), function(Deeper(a=4))] == [114, 110, 122]


def test_a_record_with_a_plain_base_takes_no_names_but_its_fields():
    """A name that is no field, or a method's, cannot be set in plain Python, though the plain base brings a __dict__ along; fields can."""
    record = Mixed()
    record.scale, record.b = 7, 8
    assert (record.scale, record.b) == (7, 8)
    for name in ("scael", "scaled", "OFFSET"):
        with pytest.raises(AttributeError, match=f"'Mixed' object has no attribute '{name}'"):
            setattr(record, name, 1)


def test_a_field_may_have_the_name_of_anothers_method():
    """A field called `grow` is a field, whatever methods other classes have."""

    class Field(Record):
        grow: int64 = 4

    def read(record):
        return record.grow + 1

    for function in both(read):
        assert function(Field()) == 5


def test_a_users_method_checks_bounds_whatever_its_name():
    """An index out of range is an IndexError in a method that a record of this package has the name of, too (`OrderReplay.send_due`)."""

    class Window(Record):
        values: (float64, (4,))

        def send_due(self, i):
            return self.values[i]

    def read(record):
        return record.send_due(1000)

    assert hasattr(OrderReplay, "send_due")
    for function in both(read):
        with pytest.raises(IndexError):
            function(Window())


@pytest.mark.parametrize("again", [property(lambda self: self.n + 1), 2, None])
def test_a_class_defined_again_has_the_members_of_the_new_one(again):
    """A constant that became a property has its value, and one that was left out is none, though both classes are one type to compiled code."""

    def make(member):
        class Changed(Record):
            n: int64 = 7
            if member is not None:
                limit = member

        return Changed

    def limit(record):
        return record.limit

    def found(record):  # not from the disk cache, which knows the type by its name
        return {function(record) for function in ([numba.njit(limit), limit] if jit.JIT else [limit])}

    assert found(make(5)()) == {5}
    changed = make(again)()
    if again is None:
        with pytest.raises((AttributeError, numba.TypingError)):
            found(changed)
    else:
        assert found(changed) == {2 if again == 2 else 8}


def test_numbers_wrap_and_round_like_numpy():
    """Fields have the range of their type: an int32 of 2³¹ − 1 reads back, a float64 keeps its bits."""

    class Numbers(Record):
        i: int32 = 2**31 - 1
        f: float64 = 0.1

    assert (Numbers().i, Numbers().f) == (2**31 - 1, np.float64(0.1))


def test_a_record_shows_its_fields():
    """An instance prints as its class with its fields, long arrays by their ends, and shows neither hidden fields nor the layout in memory."""

    class Window(Record):
        _hidden: int64
        size: int64 = 3
        values: (float64, (64,))

    class Owner(Record):
        window: Window
        ratio: float64 = 0.5

    assert repr(Owner()) == str(Owner.array(2)[1]) == "Owner(window=Window(size=3, values=[0. 0. ... 0. 0.]), ratio=0.5)"

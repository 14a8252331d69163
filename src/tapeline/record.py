"""Record: a plain class with annotated fields that is one flat structure in memory, compiled and in Python alike.

    class Account(Record):
        position: int64
        fee: float64 = 0.5
        window: (float64, (64,))

        def add(self, size):
            self.position += size

The annotations become a NumPy structured dtype (aligned as in C), instances are NumPy void scalars, which reference their memory, and methods, properties and
plain class attributes work inside compiled functions on every instance. With the JIT off the same class is ordinary Python.

Numba takes two records of equal layout for one type; a *title* on the first field, which costs no bytes, makes each class a type of its own.
record_members.py binds methods, properties and constants to it.
"""

import inspect
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, get_origin

import numpy as np

from tapeline.contract import FIELD_NOT_WHOLE
from tapeline.jit import JIT
from tapeline.load import words_of
from tapeline.record_members import bind, is_ours, user_modules

if TYPE_CHECKING:  # a field takes and gives what Python calls numbers
    bool_ = bool
    int64 = int
    int32 = int
    uint64 = int
    uint32 = int
    uint16 = int
    uint8 = int
    int8 = int
    float64 = float

    class _Void:
        """What of np.void is of use to strategies; NumPy's annotations call it final, which it is not."""

        def copy(self) -> Self:
            """One with the same values."""
            raise NotImplementedError

else:
    bool_, int64, int32, uint32, uint64, uint16, uint8, float64 = np.bool_, np.int64, np.int32, np.uint32, np.uint64, np.uint16, np.uint8, np.float64
    int8 = np.int8
    _Void = np.void
_TAKEN = {"data", "dtype", "dtype_", "type_", "fields_", "lineage_"}
_origin: Any = get_origin
_FLOATS = (float, np.floating)


def _field(owner: str, name: str, dtype: np.dtype[Any]) -> property:
    """A field as plain Python reads and sets it. A whole number refuses a float, as compiled code does: NumPy cuts it off."""

    def put(self: Any, value: Any) -> None:
        if is_whole and isinstance(value, _FLOATS):
            raise TypeError(FIELD_NOT_WHOLE.format(name, owner, dtype))
        np.void.__setitem__(self, name, value)

    is_whole = dtype.kind in "iu"

    return property(lambda self: np.void.__getitem__(self, name), put)


def _meant(hint: Any) -> Any:
    """What a field is; of `Annotated[NDArray[np.float64], (tl.float64, (16,))]` what is behind what type checkers read, to whom no array has a shape."""
    return hint.__metadata__[0] if _origin(hint) is Annotated else hint


def _element(hint: Any) -> Any:
    return hint.dtype_ if hasattr(hint, "dtype_") else hint


def _alignment(dtype: np.dtype[Any]) -> int:
    """Alignment in C. NumPy forgets it for structures that carry a class of their own."""
    base = dtype.base
    return max(_alignment(field[0]) for field in base.fields.values()) if base.fields else base.alignment


def _format(owner: str, name: str, hint: Any) -> np.dtype[Any]:
    """The dtype of one annotated field. Raises TypeError for what has no fixed size in memory, and for what Numba cannot have in an array."""
    found: np.dtype[Any]
    try:
        found = np.dtype((_element(hint[0]), hint[1]) if isinstance(hint, tuple) else _element(hint))
    except (TypeError, ValueError):
        found = np.dtype(object)
    if found.base.kind not in "biufV":
        raise TypeError(f"{owner}: field {name!r} is {hint!r}: expected a number such as tl.int64, an array such as (tl.float64, (64,)), or a Record")
    if found.shape and found.base.kind == "b":
        raise TypeError(f"{owner}: field {name!r} is an array of bool_, which compiled code does not know: take (tl.uint8, {hint[1]!r})")
    return found


def _layout(title: str, hints: dict[str, Any], *, packed: bool) -> np.dtype[Any]:
    """The dtype of annotated fields, laid out as in C (or without gaps); the first field carries the title that makes the type its own."""
    formats = [_format(title, name, hint) for name, hint in hints.items()]
    alignments = [1 if packed else _alignment(f) for f in formats]
    offsets: list[int] = []
    end = 0
    for dtype, alignment in zip(formats, alignments, strict=True):
        offsets.append(-(-end // alignment) * alignment)
        end = offsets[-1] + dtype.itemsize
    itemsize = -(-end // max(alignments)) * max(alignments)
    titles = [title, *[None] * (len(formats) - 1)]
    return np.dtype({"names": list(hints), "formats": formats, "offsets": offsets, "itemsize": itemsize, "titles": titles}, align=not packed)


class _RecordMeta(type):
    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Any:
        namespace["__slots__"] = ()  # no __dict__: `self.typo = 1` raises with the JIT off, too
        return super().__new__(mcs, name, bases, namespace, **options)

    @property
    def __signature__(cls) -> inspect.Signature:
        """How one is made, for help() and for notebooks, which complete it: with its parameters by name; `fields_` are state, which may be given, too."""
        fields, defaults, named = getattr(cls, "fields_", {}), getattr(cls, "_defaults", {}), inspect.Parameter.KEYWORD_ONLY
        shown = [inspect.Parameter(name, named, default=defaults[name], annotation=fields[name]) for name in fields if name in defaults]
        return inspect.Signature([*shown, inspect.Parameter("fields_", inspect.Parameter.VAR_KEYWORD)])


class Record(_Void, metaclass=_RecordMeta):
    """A structure of one's own, to be a field of a strategy: annotated fields, with defaults or zero at the start, and methods that are compiled with it.

        class Average(tl.Record):
            count: tl.int64
            values: (tl.float64, (16,))

            def add(self, value):
                self.values[self.count % 16] = value
                self.count += 1

    Fields are numbers, arrays of fixed shape, or Records. Each instance is one flat structure in memory, compiled and in Python alike.
    """

    dtype_: Any
    type_: Any
    fields_: dict[str, Any]
    lineage_: list[Any]
    """What a class is made of, the class itself last: records, and plain classes among its bases, whose fields and methods are its own, too."""
    _defaults: dict[str, Any]

    def __init_subclass__(cls, *, packed: bool = False) -> None:
        """Turn the annotations of the class and its bases into a dtype, and bind the methods to its compiled type."""
        if not is_ours(cls.__module__):
            user_modules.add(cls.__module__)
        cls.lineage_ = [c for c in reversed(cls.__mro__) if c not in Record.__mro__]
        if not all(issubclass(c, Record) for c in cls.lineage_):
            cls.__setattr__ = _set_declared  # type: ignore[method-assign]  # such a base brings a __dict__ along, which would take any name
        hints: dict[str, Any] = {}
        for c in cls.lineage_:
            annotations: dict[str, Any] = inspect.get_annotations(c, eval_str=True)
            hints |= {name: _meant(hint) for name, hint in annotations.items() if _origin(hint) is not ClassVar}
        taken = hints.keys() & _TAKEN
        if taken:
            named = ", ".join(sorted(taken))
            raise TypeError(f"{cls.__name__}: a field cannot be named {named!r}: structures have an attribute of that name; choose another")
        cls.fields_ = hints
        # a base's defaults have already made way for properties
        cls._defaults = {name: value for c in cls.lineage_[:-1] for name, value in _defaults_of(c).items()}
        cls._defaults |= {name: vars(cls)[name] for name in hints if name in vars(cls)}
        if not hints:
            return
        cls.dtype_ = np.dtype((cls, _layout(f"{cls.__module__}.{cls.__qualname__}", hints, packed=packed)))
        for name in hints:
            setattr(cls, name, _field(cls.__name__, name, cls.dtype_.fields[name][0]))
        if JIT:
            bind(cls)

    def __new__(cls, **values: Any) -> Self:
        """One instance, zero but for the defaults and `values`. Raises TypeError on a name that is no field."""
        self = cls._blank().copy()[0]
        for name, value in values.items():
            if name not in cls.fields_:
                raise TypeError(f"{cls.__name__} has no field {name!r}; it has {', '.join(n for n in cls.fields_ if not n.startswith('_'))}")
            cls._put(self, name, value)
        return self

    def __repr__(self) -> str:
        """Its fields, such as `Maker(size=2, order_id=0)`; of long arrays the ends."""
        with np.printoptions(threshold=8, edgeitems=2):
            fields = [name for name in self.fields_ if not name.startswith("_")]
            texts = {name: _shown(np.void.__getitem__(self, name)) for name in fields} | words_of(self)  # type: ignore[call-overload]  # see _Void
        shown = [f"{name}={text}" for name, text in texts.items()]
        return f"{type(self).__name__}({', '.join(shown)})"

    __str__ = __repr__

    @classmethod
    def _put(cls, target: Any, name: str, value: Any) -> None:
        """Set a field of one instance, or of an array of them. Raises TypeError where it would keep another value: of 1.7, a whole number keeps 1."""
        kind = np.ndarray if isinstance(target, np.ndarray) else np.void  # whose item a class may not have made its own
        try:
            kind.__setitem__(target, name, value)
        except (TypeError, ValueError, OverflowError) as error:
            raise TypeError(f"{cls.__name__}({name}={value!r}): {error}") from error
        kept = kind.__getitem__(target, name)
        if kept.dtype.kind in "biu" and not np.all(kept == value):
            raise TypeError(f"{cls.__name__}({name}={value!r}): the field is {kept.dtype}, and cannot hold that")

    @classmethod
    @cache
    def _blank(cls) -> np.ndarray[Any, Any]:
        """One instance with nothing but the defaults, to be copied."""
        rows = np.zeros(1, cls.dtype_)
        cls._fill(rows[0])
        return rows

    @classmethod
    def _fill(cls, self: Any) -> None:
        for name, hint in cls.fields_.items():
            element = hint[0] if isinstance(hint, tuple) else hint
            value = np.void.__getitem__(self, name)
            if isinstance(element, type) and issubclass(element, Record):
                for nested in value.reshape(-1) if isinstance(hint, tuple) else (value,):
                    element._fill(nested)
            if name in cls._defaults:
                cls._put(self, name, cls._defaults[name])

    @classmethod
    def array(cls, n: int | None = None, /, **values: Any) -> np.ndarray[Any, Any]:
        """`n` instances side by side, or as many as the sequences among `values` have; each of these is one value for all or a sequence of `n`.

        Raises TypeError on a name that is no field, where a field cannot hold a value, and where nothing says how many there are.
        """
        if n is None:
            lengths = {len(value) for name, value in values.items() if name in cls.fields_ and np.ndim(value) > cls.dtype_.fields[name][0].ndim}
            if len(lengths) != 1:
                raise TypeError(f"{cls.__name__}.array(): expected sequences of one length, or n, the number of instances, first")
            (n,) = lengths
        rows = np.repeat(cls._blank(), n)
        for name, value in values.items():
            if name not in cls.fields_:
                cls(**{name: value})
            cls._put(rows, name, value)
        return rows


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, np.void) else str(value).replace("\n", "")


def _set_declared(self: Any, name: str, value: Any) -> None:
    """What is no field is no attribute."""
    if not hasattr(type(getattr(type(self), name, None)), "__set__"):
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
    np.void.__setattr__(self, name, value)


def _defaults_of(base: type) -> dict[str, Any]:
    if issubclass(base, Record):
        return vars(base).get("_defaults", {})
    return {name: vars(base)[name] for name in inspect.get_annotations(base) if name in vars(base)}

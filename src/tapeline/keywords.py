"""Keywords that nothing has: told with what was probably meant, where Python says only that it did not expect them."""

import difflib
import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec, TypeVar

from tapeline.errors import ConfigError

P = ParamSpec("P")
T = TypeVar("T")


def meant(name: str, known: Iterable[str], otherwise: str) -> str:
    """The known name that is like one that is none, as a question; `otherwise` where there is none like it."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise


def checked(call: Callable[P, T]) -> Callable[P, T]:
    """A function, or `__init__`, that raises ConfigError for a keyword that it does not have."""
    known = [name for name in inspect.signature(call).parameters if name != "self"]

    @wraps(call)
    def checking(*args: P.args, **given: P.kwargs) -> T:
        for name in given:
            if name not in known:
                what = call.__qualname__.removesuffix(".__init__")
                raise ConfigError(f"{what}({name}=…): there is no such setting; {meant(name, known, 'there are: ' + ', '.join(known))}")
        return call(*args, **given)

    return checking


def checked_class(cls: type[T]) -> type[T]:
    """A class of settings that does so."""
    cls.__init__ = checked(cls.__init__)  # type: ignore[method-assign]  # of a dataclass, which has just been made
    return cls

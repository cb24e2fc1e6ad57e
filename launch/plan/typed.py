"""Checks values from outside (words, TOML, JSON) against the type annotations of what they become."""

import functools
import math
import re
import reprlib
import sys
import types
import typing
from collections.abc import Iterable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Required

from launch.errors import Refusal, nearest


class Bounds(NamedTuple):
    """Which numbers are allowed, as in ``Annotated[int, Bounds(1)]``. Without bounds, integers of 64 bits and finite
    floats are allowed."""

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    below: float = math.inf
    finite: bool = True

    def hold(self, value: float) -> bool:
        """Return whether a number is allowed."""
        if isinstance(value, float) and not math.isfinite(value):
            return not self.finite
        inside = self.least <= value <= self.most and self.above < value < self.below
        return inside and (isinstance(value, float) or -(2**63) <= value < 2**63)

    def __str__(self) -> str:
        low = f"above {self.above:.15g}" if self.above > -math.inf else f"of {self.least:.15g} or more"
        if self.below < math.inf:
            return f" {low} and below {self.below:.15g}"
        if self.most < math.inf:
            return f" {low} and at most {self.most:.15g}"
        return f" {low}" if max(self.least, self.above) > -math.inf else ""


NUMBER = Annotated[float, Bounds(finite=False)]
"""A number that may be infinite or NaN, such as a loss that diverged."""

Count = Annotated[int, Bounds(1, 1_000_000)]
Natural = Annotated[int, Bounds(0, 1_000_000)]
Seed = Annotated[int, Bounds(0, 2**32 - 1)]  # what NumPy and keras.utils.set_random_seed take
NotNegative = Annotated[float, Bounds(0)]
Positive = Annotated[float, Bounds(above=0)]
Backend = Literal["local", "slurm", "pbs", "flux"]
Launcher = Literal["srun", "pals", "openmpi", "hydra", "pbs_tmrsh", "pbsdsh", "flux"]

_FINITE = Bounds()
_CALLED = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", Path: "a path"}
# int() and float() also take underscores, spaces and the digits of other scripts.
_FORMS = {
    int: r"[+-]?[0-9]{1,19}",
    float: r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?",
    str: r"[^\0]*",
    Path: r"[^\0]+",
}
_KINDS = {float: (int, float), Path: str}  # types of values in files, if they differ from the annotation


@functools.cache
def hints(cls: type) -> dict[str, Any]:
    """Return the annotations of a dataclass or TypedDict by the names of its fields, bounds included."""
    return typing.get_type_hints(cls, include_extras=True)


@functools.cache
def hint(cls: type, name: str) -> Any:
    """Return the annotation of one field of a dataclass. Evaluating those of all fields takes time if they are text."""
    for base in cls.__mro__:
        annotation = base.__dict__.get("__annotations__", {}).get(name)
        if annotation is not None:
            here = vars(sys.modules[base.__module__])
            return eval(annotation, here) if isinstance(annotation, str) else annotation
    raise KeyError(name)


def from_text(text: str, hint: Any) -> Any:
    """Return the value of a word of a command line.

    Parameters
    ----------
    text : str
        The word.
    hint : type
        int, float, str or Path, perhaps with `Bounds`.

    Raises
    ------
    ValueError
        If the word has no such value; the message says what kind of value it has to be.
    """
    base, bounds = bounded(hint)
    if re.fullmatch(_FORMS[base], text):
        value = base(text)
        if base not in (int, float) or bounds.hold(value):
            return value
    raise ValueError(f"{text!r} is not {_CALLED[base]}{bounds}")


def mismatch(value: Any, hint: Any, where: str = "", bounds: Bounds = _FINITE) -> str:
    """Return what is wrong with a value of a file, in one line; empty if it fits the annotation.

    Parameters
    ----------
    value : object
        Value from TOML or JSON.
    hint : type or dict
        int, float, str, bool, Any, a Literal, a list, tuple or dict of these, a union, with or without `Bounds`; a
        TypedDict, in which null means absent; or a dict of such hints by key, where every key may be absent.
    where : str
        The name of the value in messages.
    bounds : Bounds
        Bounds of the numbers in it, if the hint has none.
    """
    origin: Any = None
    args: tuple = ()
    if not isinstance(hint, dict):
        hint, bounds, origin, args = _taken_apart(hint, bounds)
    if hint is Any:
        return ""
    if typing.is_typeddict(hint):
        kind: Any = hint
        if isinstance(value, dict):
            value = {key: inner for key, inner in value.items() if inner is not None}
            if missing := kind.__required_keys__ - value.keys():
                return f"{where or 'it'} lacks {min(missing)}"
        hint = hints(kind)
    if origin in (types.UnionType, typing.Union):
        found = [mismatch(value, each, where, bounds) for each in args if each is not types.NoneType]
        return found[0] if all(found) and (value is not None or types.NoneType not in args) else ""
    if origin is Literal:
        return "" if value in args else f"{where} = {shown(value)}: give one of {', '.join(map(str, args))}"
    if origin in (list, tuple):
        if not isinstance(value, list | tuple):
            return f"{where or 'it'} = {shown(value)} is not a list"
        return next(filter(None, (mismatch(item, args[0], where, bounds) for item in value)), "")
    if origin is dict or hint is dict or isinstance(hint, dict):
        if not isinstance(value, dict):
            return f"{where or 'it'} = {shown(value)} is not a table"
        inner = hint if isinstance(hint, dict) else dict.fromkeys(value, args[1] if args else Any)
        checked = (mismatch(value[key], inner[key], _inside(where, key), bounds) for key in inner if key in value)
        return next(filter(None, checked), "")
    if isinstance(value, _KINDS.get(hint, hint)) and isinstance(value, bool) is (hint is bool):
        if hint not in (int, float) or bounds.hold(value):
            return ""
    return f"{where or 'it'} = {shown(value)}: give {_CALLED[hint]}{bounds}"


def build(cls: type, table: Any, where: str, ignored: Iterable[str] = ()) -> Any:
    """Make a dataclass from a table of TOML or an object of JSON.

    Parameters
    ----------
    cls : type
        The dataclass.
    table : object
        Fields and their values.
    where : str
        The file, for the refusal.
    ignored : iterable of str
        Keys that are allowed although they are not fields.

    Raises
    ------
    Refusal
        If a key is unknown or missing, or a value is of another type.
    """
    known = hints(cls)
    if wrong := mismatch(table, known):
        raise Refusal(f"{where}: {wrong}")
    if unknown := next((key for key in table if key not in known and key not in ignored), None):
        raise Refusal(f"{where}: unknown key {unknown!r}: {nearest(unknown, known)}")
    needed = (each.name for each in fields(cls) if each.default is each.default_factory is MISSING)
    if missing := sorted(name for name in needed if name not in table):
        raise Refusal(f"{where} lacks {', '.join(missing)}")
    values = {name: value for name, value in table.items() if name in known}
    return cls(**{name: tuple(value) if _is_tuple(known[name]) else value for name, value in values.items()})


def shown(value: Any) -> str:
    """Return a value of a file for a message: on one line, and short."""
    try:
        return reprlib.repr(value)
    except ValueError:  # an integer with thousands of digits
        return "a number of too many digits"


def bounded(hint: Any, bounds: Bounds = _FINITE) -> tuple[Any, Bounds]:
    """Return an annotation without its bounds, and the bounds, by default the given ones."""
    if typing.get_origin(hint) is Required:
        return bounded(typing.get_args(hint)[0], bounds)
    if typing.get_origin(hint) is not Annotated:
        return hint, bounds
    base, *extra = typing.get_args(hint)
    return base, next((each for each in extra if isinstance(each, Bounds)), bounds)


@functools.cache
def _taken_apart(hint: Any, bounds: Bounds) -> tuple[Any, Bounds, Any, tuple]:
    """Return an annotation as `bounded` gives it, its origin and its arguments, which every value of a file needs."""
    base, bounds = bounded(hint, bounds)
    return base, bounds, typing.get_origin(base), typing.get_args(base)


def _inside(where: str, key: str) -> str:
    name = key if key.isprintable() else repr(key)
    return f"{where}.{name}" if where else name


def _is_tuple(hint: Any) -> bool:
    return typing.get_origin(bounded(hint)[0]) is tuple


def scalar(hint: Any, bounds: Bounds | None = None) -> tuple[type, tuple | None, Bounds]:
    """Return the type of one value, its choices and its bounds: through ``X | None``, ``tuple[X, ...]`` and
    ``Literal``."""
    hint, bounds = bounded(hint, bounds or Bounds())
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return scalar(next(a for a in args if a is not type(None)), bounds)
    if origin in (tuple, list):
        return scalar(args[0], bounds)
    if origin is Literal:
        return type(args[0]), args, bounds
    if hint in (int, float, str, bool, Path):
        return hint, None, bounds
    raise Refusal(
        f"an option cannot have the type {hint}: use int, float, str, bool, Path, Literal, X | None or tuple[X, ...]"
    )


def is_many(hint: Any) -> bool:
    """Return whether an option of this type takes several values."""
    return typing.get_origin(bounded(hint)[0]) in (tuple, list)

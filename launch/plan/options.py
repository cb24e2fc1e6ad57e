"""A dataclass as command-line options: types and defaults from its fields, help from the comments behind them.

A field ``max_width: int = 64  # channels`` is the option ``--max-width``; a ``bool`` field has a ``--no-`` form too.
``field(metadata={"flags": ("-N",)})`` adds further spellings, ``{"separator": ","}`` makes a tuple of one word,
``{"was": "old-name"}`` makes the refusal of an old name give the new one; a field of type ``tuple[int, ...]`` collects every occurrence.
"""

import argparse
import dataclasses
import functools
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from launch.errors import Refusal, nearest
from launch.plan import typed

Options = TypeVar("Options")


class _Parser(argparse.ArgumentParser):
    """argparse, but an error is a Refusal, and help is the caller's business."""

    def __init__(self) -> None:
        super().__init__(add_help=False, allow_abbrev=False)

    def error(self, message: str) -> typing.NoReturn:
        raise Refusal(message.replace("argument ", "option ", 1))


@functools.cache  # a study has thousands of points, each with options of its own
def _parser_of(cls: type) -> _Parser:
    parser = _Parser()
    add_to(parser, cls)
    return parser


def add_to(parser: argparse.ArgumentParser, cls: type) -> None:
    """Add an option for each field of a dataclass. Options that are not given stay out of the namespace."""
    hints = typed.hints(cls)
    for field in dataclasses.fields(cls):
        base, choices, bounds = scalar(hints[field.name])
        settings: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS}
        if base is bool:
            settings["action"] = argparse.BooleanOptionalAction
        else:
            settings |= {"type": _converter(Annotated[base, bounds]), "choices": choices, "metavar": field.name.upper()}
            if "separator" in field.metadata:
                settings["type"] = _listed(settings["type"], field.metadata["separator"])
            elif is_many(hints[field.name]):
                settings["action"] = "append"
        parser.add_argument(*flags(field), **settings)


def parse(cls: type, argv: Sequence[str], what: str = "") -> Any:
    """Make an instance of a dataclass from command-line options.

    Parameters
    ----------
    cls : type
        The dataclass.
    argv : sequence of str
        The options, e.g. ``["--width", "64"]``.
    what : str
        Whose options they are, for the refusal.

    Returns
    -------
    cls
        Fields that were not given keep their defaults.

    Raises
    ------
    Refusal
        Unknown option (with the nearest known one), a value of the wrong type, a missing one.
    """
    given, unknown = _parser_of(cls).parse_known_args(list(argv))
    refuse_unknown(unknown, cls, what)
    return build(cls, vars(given), what)


def with_words(cls: type, argv: Sequence[str], what: str) -> tuple[Any, list[str]]:
    """As `parse`, but words that are no options may stand among them; return the instance and the words."""
    given, unknown = _parser_of(cls).parse_known_args(list(argv))
    refuse_unknown([word for word in unknown if word.startswith("-")], cls, what)
    return build(cls, vars(given), what), [word for word in unknown if not word.startswith("-")]


def with_files(cls: type[Options], argv: Sequence[str], names: Sequence[str]) -> tuple[list[Path], Options]:
    """As `with_words`, where the words are files, as many as there are names; they come first."""
    verb = cls.__module__.rpartition(".")[2]
    chosen, words = with_words(cls, argv, verb)
    if len(words) != len(names):
        raise Refusal(f"{verb} needs {' '.join(names)} and was given {' '.join(words) or 'nothing'}: give it that")
    return [Path(word) for word in words], chosen


def split(cls: type, argv: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Read the options of a dataclass up to the first word that is none; return their values and the rest of the words.

    Raises
    ------
    Refusal
        As `parse`.
    """
    parser = _Parser()
    add_to(parser, cls)
    parser.add_argument("-h", "--help", action="store_true", default=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    given, unknown = parser.parse_known_args(list(argv))
    refuse_unknown(unknown, cls, "")
    values = vars(given)
    return values, values.pop("rest")


def build(cls: type, values: dict[str, Any], what: str = "") -> Any:
    """Make an instance from given values; a list becomes a tuple, a missing value is refused by name."""
    for field in dataclasses.fields(cls):
        missing = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if missing and field.name not in values:
            raise Refusal(f"{what or cls.__name__} needs {flags(field)[-1]}: give it a value")
    return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def refuse_unknown(unknown: Sequence[str], cls: type, what: str) -> None:
    """Raise a Refusal that names the first unknown word and the nearest option."""
    if not unknown:
        return
    first = unknown[0]
    whose = f" of {what}" if what else ""
    if not first.startswith("-"):
        raise Refusal(f"{first!r} is not an option{whose}: options start with --")
    option = first.partition("=")[0]
    for field in (
        field for base in cls.__mro__ if dataclasses.is_dataclass(base) for field in dataclasses.fields(base)
    ):
        if option == f"--{field.metadata.get('was')}":
            raise Refusal(f"the option {option}{whose} is now {flags(field)[-1]}: use that")
    known = [flag for field in dataclasses.fields(cls) for flag in flags(field) if flag.startswith("--")]
    raise Refusal(f"unknown option {option}{whose}: {nearest(option, known)}")


def flags(field: dataclasses.Field) -> tuple[str, ...]:
    """All spellings of a field's option, the long name last."""
    return (*field.metadata.get("flags", ()), f"--{field.name.replace('_', '-')}")


def arguments(config: Any) -> list[str]:
    """The options that make this very instance, for those fields that differ from their defaults."""
    words = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
        if value == default or value is None:
            continue
        name = flags(field)[-1]
        if "separator" in field.metadata:
            words.append(f"{name}={field.metadata['separator'].join(map(str, value))}")
        elif isinstance(value, bool):
            words.append(name if value else f"--no-{name[2:]}")
        else:
            words += [f"{name}={item}" for item in (value if isinstance(value, tuple) else (value,))]
    return words


def words(values: Mapping[str, str | list[str]], joined: Mapping[str, str] | None = None) -> list[str]:
    """Named values as options: ``true`` is the bare option, ``false`` its ``--no-`` form, a list the option once for each.

    Parameters
    ----------
    values : dict
        Name of the option, without dashes -> its value or values.
    joined : dict, optional
        Name -> separator, for options that take all their values in one word.
    """
    found = []
    for name, value in values.items():
        flag = name.replace("_", "-")
        if isinstance(value, list):
            separator = (joined or {}).get(name)
            found += [f"--{flag}={item}" for item in ([separator.join(value)] if separator else value)]
        else:
            found.append({"true": f"--{flag}", "false": f"--no-{flag}"}.get(value, f"--{flag}={value}"))
    return found


def describe(cls: type) -> str:
    """The help text of a dataclass: a line an option with its type or choices, default and comment."""
    import textwrap

    hints = typing.get_type_hints(cls)
    comments = _comments(cls)
    rows = []
    for field in dataclasses.fields(cls):
        base, choices, _ = scalar(hints[field.name])
        kind = "" if base is bool else " " + ("|".join(map(str, choices)) if choices else base.__name__.upper())
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        default = "required" if required else field.default
        note = comments.get(field.name, "")
        if default not in (None, "", (), dataclasses.MISSING) and default is not False:
            note += f" [{default}]"
        rows.append((", ".join(flags(field)) + kind, note))
    lines = []
    for left, note in rows:
        wrapped = textwrap.wrap(note, 84) or [""]
        if len(left) > 32:
            lines.append(f"  {left}")
            left = ""
        lines += [f"  {left if i == 0 else '':<33}{line}".rstrip() for i, line in enumerate(wrapped)]
    return "\n".join(lines)


def scalar(hint: Any, bounds: typed.Bounds | None = None) -> tuple[type, tuple | None, typed.Bounds]:
    """The type of one value, its choices and its bounds: through ``X | None``, ``tuple[X, ...]`` and ``Literal``."""
    hint, bounds = typed.bounded(hint, bounds or typed.Bounds())
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
    """Whether an option of this type takes several values."""
    return typing.get_origin(typed.bounded(hint)[0]) in (tuple, list)


def _converter(hint: Any) -> Any:
    def convert(text: str) -> Any:
        try:
            return typed.from_text(text, hint)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def _listed(convert: Callable[[str], Any], separator: str) -> Callable[[str], tuple]:
    return lambda text: tuple(convert(part) for part in text.split(separator))


def _comments(cls: type) -> dict[str, str]:
    """The comment behind (or in the lines right after) each field, over all base classes."""
    # Only help needs these, and they take a good part of a dry run's time to import.
    import ast
    import inspect
    import io
    import textwrap
    import tokenize

    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(base) or base.__module__ not in sys.modules:
            continue
        try:
            source = textwrap.dedent(inspect.getsource(base))
        except (OSError, TypeError):  # a class that was made at run time has no source, so no comments
            continue
        remarks = {
            token.start[0]: token.string.lstrip("# ")
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.type == tokenize.COMMENT
        }
        for node in ast.parse(source).body[0].body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                line, parts = node.end_lineno, []
                while line in remarks:
                    parts.append(remarks[line])
                    line += 1
                    if source.splitlines()[line - 1 : line] and not source.splitlines()[line - 1].lstrip().startswith(
                        "#"
                    ):
                        break
                found[node.target.id] = " ".join(parts)
    return found

"""A dataclass as command-line options: names, types and defaults from its fields.

A field ``max_width: int = 64`` is the option ``--max-width``, also written ``--max_width``; a ``bool`` field has a
``--no-`` form too, and may be given ``=true`` or ``=false``. ``field(metadata={"flags": ("-N",)})`` adds further
spellings, ``{"separator": ","}`` makes a tuple of one word, ``{"was": "old-name"}`` makes the refusal of an old name
give the new one; a field of type ``tuple[int, ...]`` collects every occurrence. The text that `launch.plan.option_help`
prints for an option is in a comment after its field, or in ``{"help": "..."}``.
"""

import dataclasses
import functools
import sys
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from launch.errors import Refusal, command, near, nearest
from launch.plan import typed

Options = TypeVar("Options")

_LISTED = 15  # known options that a refusal lists; where there are more, the help is easier to read


class UnknownOption(Refusal):
    """An option that the dataclass does not have, which may belong elsewhere."""

    def __init__(self, message: str, option: str) -> None:
        super().__init__(message)
        self.option = option


def parse(cls: type, argv: Sequence[str], what: str = "") -> Any:
    """Make an instance of a dataclass from command-line options.

    Parameters
    ----------
    cls : type
        The dataclass.
    argv : sequence of str
        The options, e.g. ``["--width", "64"]``.
    what : str
        Name of what the options belong to, for the refusal.

    Returns
    -------
    cls
        Fields that were not given keep their defaults.

    Raises
    ------
    Refusal
        If an option is unknown (the message names the nearest known one) or missing, or a value has the wrong type.
    """
    instance, words = with_words(cls, argv, what)
    refuse_unknown(words, cls, what)
    return instance


def with_words(cls: type, argv: Sequence[str], what: str) -> tuple[Any, list[str]]:
    """Do the same as `parse`, but let other words stand among the options; return the instance and these words."""
    values, words = given_with_words(cls, argv, what)
    return build(cls, values, what), words


def with_files(cls: type[Options], argv: Sequence[str], names: Sequence[str]) -> tuple[list[Path], Options]:
    """Do the same as `with_words`, for words that are files or runs (`launch.cli.names.Named`), as many as there are
    names; return them first."""
    verb = cls.__module__.rpartition(".")[2]
    chosen, words = with_words(cls, argv, verb)
    if len(words) != len(names):
        needed = " and then ".join(map(_with_article, names))
        given = f", and was given {' '.join(words)}" if words else ""
        example = " ".join([verb, *(name.partition("|")[0] for name in names)])
        raise Refusal(f"{verb} needs {needed}{given}: {command(example)}")
    path = getattr(chosen, "path", Path)
    return [path(word) for word in words], chosen


def _with_article(name: str) -> str:
    """Return what a word of the help stands for: ``a STUDY or a TABLE`` for ``STUDY|TABLE``."""
    return " or ".join(one if one.endswith("S") else f"a {one}" for one in name.split("|"))


def split(cls: type, argv: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Read the options of a dataclass up to the first word that is not an option; return their values and the rest of
    the words.

    Raises
    ------
    Refusal
        For the same reasons as `parse`.
    """
    return given_with_words(cls, argv, "", leading=True)


def given_with_words(
    cls: type, argv: Sequence[str], what: str, leading: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """Return the values of the given options, and the other words: all of them or, if ``leading``, everything from the
    first one on.

    Raises
    ------
    Refusal
        For the same reasons as `parse`.
    """
    fields, values, words, place = _fields(cls), {}, [], 0
    while place < len(argv):
        word, place = argv[place], place + 1
        if word == "--" and not leading:
            return values, [*words, *argv[place:]]
        if not word.startswith("-") or word in ("-", "--"):
            if leading:
                return values, list(argv[place - 1 :])
            words.append(word)
            continue
        if leading and word == "-m" and word not in fields:  # python -m
            return values, list(argv[place - 1 :])
        if leading and word in ("-h", "--help"):
            values["help"] = True
            continue
        flag, equals, text = word.partition("=")
        flag = flag.replace("_", "-")
        if flag not in fields and word[1] != "-" and word[:2] in fields:  # -N4
            flag, equals, text = word[:2], "=", word[2:].removeprefix("=")
        if flag not in fields:
            refuse_unknown([word], cls, what)
        field = fields[flag]
        hint = typed.hint(cls, field.name)
        if typed.scalar(hint)[0] is bool:
            if equals and (text not in ("true", "false") or flag not in flags(field)):
                raise Refusal(f"option {flag} takes no value, and {text!r} is given: leave it out")
            values[field.name] = text == "true" if equals else flag in flags(field)
            continue
        if not equals:
            if place == len(argv) or argv[place].partition("=")[0] in fields:
                raise Refusal(
                    f"option {flag} needs a value: give {flag} VALUE, or {flag}=VALUE if it begins with a dash"
                )
            text, place = argv[place], place + 1
        if "separator" in field.metadata:
            values[field.name] = tuple(_value(flag, part, hint) for part in text.split(field.metadata["separator"]))
        elif typed.is_many(hint):
            values[field.name] = (*values.get(field.name, ()), _value(flag, text, hint))
        else:
            values[field.name] = _value(flag, text, hint)
    return values, words


@functools.cache  # a study has thousands of points, each with its own options
def _fields(cls: type) -> dict[str, dataclasses.Field]:
    """Return the field of each spelling of an option."""
    found = {}
    for field in dataclasses.fields(cls):
        found |= dict.fromkeys(flags(field), field)
        if "bool" in str(field.type) and typed.scalar(typed.hint(cls, field.name))[0] is bool:
            found[f"--no-{flags(field)[-1][2:]}"] = field
    return found


def _value(flag: str, text: str, hint: Any) -> Any:
    base, choices, bounds = typed.scalar(hint)
    try:
        value = typed.from_text(text, typing.Annotated[base, bounds])
    except ValueError as error:
        raise Refusal(f"option {flag}: {error}") from None
    if choices and value not in choices:
        raise Refusal(f"option {flag}: {text!r} is not one of {', '.join(map(str, choices))}")
    return value


def of_command(cls: type, argv: Sequence[str], doc: str | None, what: str) -> dict[str, Any]:
    """Return the given options of ``python -m what``. With --help, print the doc and all options, and exit.

    Raises
    ------
    Refusal
        For the same reasons as `parse`.
    """
    values, rest = split(cls, argv)
    refuse_unknown(rest, cls, what)
    if values.pop("help", False):
        from launch.plan import option_help

        print(f"{doc}\nOptions:\n{option_help.describe(cls)}")
        sys.exit()
    return values


def build(cls: type, values: dict[str, Any], what: str = "") -> Any:
    """Make an instance from given values; a missing one is refused by name."""
    for field in dataclasses.fields(cls):
        missing = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if missing and field.name not in values:
            hint = typing.get_type_hints(cls)[field.name]
            among = typing.get_args(hint) if typing.get_origin(hint) is Literal else ()
            value = f"one of {', '.join(among)}" if among else "a value"
            raise Refusal(f"{what or cls.__name__} needs {flags(field)[-1]}{_said_of(cls, field)}: give it {value}")
    return cls(**values)


def _said_of(cls: type, field: dataclasses.Field) -> str:
    from launch.plan import option_help

    note = option_help.note(cls, field)
    return f" ({note})" if note else ""


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
    advice = nearest(option, known) if len(known) <= _LISTED else near(option, known) or "--help lists all options"
    raise UnknownOption(f"unknown option {option}{whose}: {advice}", option)


def flags(field: dataclasses.Field) -> tuple[str, ...]:
    """Return all spellings of a field's option, the long name last."""
    return (*field.metadata.get("flags", ()), f"--{field.name.replace('_', '-')}")


def arguments(config: Any) -> list[str]:
    """Return the options that reproduce this instance: those for fields that differ from their defaults."""
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


def words(values: Mapping[str, str | list[str]]) -> list[str]:
    """Return named values as options, unchanged; a list gives the option once for each value."""
    listed = ((name, [value] if isinstance(value, str) else value) for name, value in values.items())
    return [f"--{name}={item}" for name, items in listed for item in items]


def end_of_options(argv: Sequence[str]) -> int:
    """Return the place for further options in a command line: before its ``--``, after which programs take every word
    as it is."""
    return list(argv).index("--") if "--" in argv else len(argv)

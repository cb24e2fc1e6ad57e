"""Figures of merit: what a program prints about its own performance, and how to find it, by --fom or the table [fom] of
a definition.

A figure has a name and a pattern, whose group is the number. Its kind says what it means for the table of a study:

rate     work per time of all ranks together, such as GFLOP/s: the throughput of the run
speed    how fast the whole problem advances, such as ns/day: also the throughput, times the work if that grows with
         the ranks
time     of the same problem, such as s, or per part of it, such as s/step: the throughput is the work divided by it
work     what is worked on, such as atoms: shows whether scaling is weak or strong
value    anything else
"""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Required, TypedDict, get_args

from launch import HOME
from launch.errors import Refusal, nearest
from launch.plan import patterns, typed

CODES = Path(HOME, "modules", "figures_of_merit.toml")
"""The figures of widely used codes: a table for each code, in it one for each figure."""

Kind = Literal["rate", "speed", "time", "work", "value"]
Take = Literal["last", "mean", "sum", "max", "min"]
Scaling = Literal["weak", "strong"]

OF_THE_RUN: tuple[Kind, ...] = ("rate", "speed", "time")
"""Kinds that give a throughput; the first one present counts."""

_BY_NAME: dict[str, Kind] = {"throughput": "rate", "rate": "rate", "speed": "speed", "time": "time", "work": "work"}
_OVER_RANKS: dict[Kind, Take] = {"rate": "sum", "work": "sum", "time": "max", "speed": "mean", "value": "mean"}
_NAME = r"[A-Za-z][A-Za-z0-9_.-]{0,63}"
_UNIT = r"\S(?:.{0,38}\S)?"


class Figure(TypedDict, total=False):
    """How a figure of merit is found."""

    pattern: Required[str]  # a regular expression with one group, or with the groups value and unit
    kind: Required[Kind]
    unit: str
    take: Take  # how the numbers of one rank or, with ranks = "all", the last ones of all ranks are reduced
    ranks: str  # "all", or the number of a rank; by default all if they work on their own, else the lowest


@functools.cache  # the same for the many plans of a study
def from_words(figures: tuple[str, ...], units: tuple[str, ...], how: tuple[str, ...]) -> dict[str, Figure]:
    """Return the figures that ``--fom``, ``--fom-unit`` and ``--fom-as`` ask for.

    Parameters
    ----------
    figures : tuple of str
        Each is ``NAME=REGEX``, or the name of a code whose figures are known.
    units : tuple of str
        Each is ``NAME=UNIT``. A unit without a name belongs to the only figure, or to the one that is the throughput.
    how : tuple of str
        Each is ``NAME=WORD,WORD...``: a kind; last, mean, sum, max or min; and the rank, or all.

    Raises
    ------
    Refusal
        If something is not understood, is given twice, or contradicts something else.
    """
    found: dict[str, dict[str, Any]] = {}
    for text in figures:
        name, equals, pattern = text.partition("=")
        more = {name: {"pattern": pattern}} if equals and re.fullmatch(_NAME, name) else of_code(text)
        if double := found.keys() & more.keys():
            advice = "give each its own name" if equals else "take one code, and NAME=REGEX for further figures"
            raise Refusal(f"--fom {typed.shown(text)}: the figure {double.pop()} is given twice: {advice}")
        found |= more
    said: set[tuple[str, str]] = set()
    for option, texts in (("--fom-unit", units), ("--fom-as", how)):
        for text in texts:
            name, equals, value = text.partition("=")
            if not equals or name not in found:
                name, value = (_unnamed(option, text, found), text) if not equals else (name, value)
            if name not in found:
                raise Refusal(f"{option} {typed.shown(text)}: there is no --fom {name}=...: {nearest(name, found)}")
            table = {"unit": value} if option == "--fom-unit" else _words(text, value)
            if double := next((key for key in table if (name, key) in said), None):
                raise Refusal(f"{option} {typed.shown(text)}: the {double} of {name} is given twice: give it once")
            said |= {(name, key) for key in table}
            found[name] |= table
    made = {name: checked(name, table) for name, table in found.items()}
    makers = [name for name, figure in made.items() if figure["kind"] in ("rate", "speed")]
    if len(makers) > 1:
        raise Refusal(
            f"{' and '.join(makers)} are both the throughput of a run, which has one: make the others mere values, as "
            f"by --fom-as {makers[1]}=value"
        )
    if len([name for name, figure in made.items() if figure["kind"] == "work"]) > 1:
        raise Refusal("two figures are the work of a run, which has one: make the other a value by --fom-as NAME=value")
    return made


def _unnamed(option: str, text: str, found: Mapping[str, dict[str, Any]]) -> str:
    """Return the figure whose unit or attributes are meant if no name is given."""
    makers = [name for name, table in found.items() if table.get("kind", _BY_NAME.get(name)) in ("rate", "speed")]
    likely = list(found) if len(found) == 1 else makers
    if len(likely) == 1:
        return likely[0]
    whose = f"one of {', '.join(found)}" if found else "a figure of --fom NAME=REGEX"
    raise Refusal(f"{option} {typed.shown(text)} does not say of which figure: give NAME={text}, of {whose}")


def _words(text: str, words: str) -> dict[str, str]:
    """Return the attributes as text."""
    table: dict[str, str] = {}
    for word in (word.strip() for word in words.split(",")):
        key = next((key for key, kind in (("kind", Kind), ("take", Take)) if word in get_args(kind)), "ranks")
        if key == "ranks" and not re.fullmatch(r"all|[0-9]{1,9}", word):
            known = [*get_args(Kind), *get_args(Take), "all"]
            raise Refusal(
                f"--fom-as {typed.shown(text)}: {word!r} is neither a rank nor a word that is known here: "
                f"{nearest(word, known)}"
            )
        if key in table:
            raise Refusal(f"--fom-as {typed.shown(text)}: {table[key]} and {word} exclude each other: give one of them")
        table[key] = word
    return table


def to_words(tables: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the table ``[fom]`` of a definition, in the form of the options.

    Raises
    ------
    Refusal
        If it is not a table of tables with the keys of a `Figure`.
    """
    words: dict[str, list[str]] = {"fom": [], "fom_unit": [], "fom_as": []}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise Refusal(
                f"fom.{name} = {typed.shown(table)} is not a table: write [fom.{name}] and below it pattern = '...'"
            )
        checked(name, table)
        words["fom"].append(f"{name}={table['pattern']}")
        if "unit" in table:
            words["fom_unit"].append(f"{name}={table['unit']}")
        if how := [table[key] for key in ("kind", "take", "ranks") if key in table]:
            words["fom_as"].append(f"{name}={','.join(how)}")
    return {key: tuple(values) for key, values in words.items() if values}


def of_code(name: str) -> dict[str, dict[str, Any]]:
    """Return the figures of a widely used code.

    Raises
    ------
    Refusal
        If the code is not known.
    """
    codes = known()
    if name not in codes:
        raise Refusal(
            f"--fom {typed.shown(name)} is neither NAME=REGEX, as in 'throughput=Performance: *([0-9.]+)', nor a code "
            f"whose output is known: {nearest(name, codes)}"
        )
    return {figure: dict(table) for figure, table in codes[name].items()}


@functools.cache
def known() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the figures of all known codes."""
    with open(CODES, "rb") as file:
        import tomllib  # needed only for the name of a code

        return tomllib.load(file)


def checked(name: str, table: Mapping[str, Any]) -> Figure:
    """Return a figure, with its kind, after checking it.

    Raises
    ------
    Refusal
        If its name, or something in it, is not allowed.
    """
    if not re.fullmatch(_NAME, name):
        raise Refusal(
            f"--fom {typed.shown(name)}=...: the name of a figure has letters, digits, '_', '.' and '-', and begins "
            "with a letter"
        )
    if unknown := next((key for key in table if key not in Figure.__annotations__), None):
        raise Refusal(f"fom.{name} has the unknown key {unknown!r}: {nearest(unknown, Figure.__annotations__)}")
    figure = {"kind": _BY_NAME.get(name, "value"), **table}
    if wrong := typed.mismatch(figure, Figure, f"fom.{name}"):
        raise Refusal(wrong)
    if not re.fullmatch(r"all|[0-9]{1,9}", ranks := figure.get("ranks", "all")):
        raise Refusal(f"fom.{name}: ranks = {typed.shown(ranks)}: give 'all', or the number of a rank")
    if not re.fullmatch(_UNIT, unit := figure.get("unit", "1")) or not unit.isprintable():
        raise Refusal(f"fom.{name}: unit = {typed.shown(unit)}: give a short word, as in ns/day")
    patterns.refuse_endless(name, patterns.compiled(name, figure["pattern"]))
    return Figure(**figure)


def take(figure: Figure) -> Take:
    """Return which of several numbers counts, or how they are reduced to one."""
    return figure.get("take") or (over_ranks(figure) if figure.get("ranks") == "all" else "last")


def over_ranks(figure: Figure) -> Take:
    """Return how the numbers of all ranks are reduced to one."""
    return _OVER_RANKS[figure["kind"]]


def refuse_for(figures: Mapping[str, Figure], kind: str, size: int) -> None:
    """Refuse figures that a run cannot have.

    Raises
    ------
    Refusal
        If the run is one of a workload, or has fewer ranks.
    """
    if figures and kind == "workload":
        raise Refusal("--fom reads what a program prints, and a workload records its own figures: leave it out")
    for name, figure in figures.items():
        if (ranks := figure.get("ranks", "all")) != "all" and int(ranks) >= size:
            raise Refusal(
                f"the figure {name} is that of rank {ranks}, and the ranks are 0 to {size - 1}: give one of these, or "
                "all"
                if size > 1
                else f"the figure {name} is that of rank {ranks}, and there is rank 0 alone: give that, or all"
            )


def names(figures: Mapping[str, Figure], kinds: Sequence[Kind] | Iterable[Kind]) -> list[str]:
    """Return the figures of some kinds, in the order of the kinds."""
    return [name for kind in kinds for name, figure in figures.items() if figure["kind"] == kind]

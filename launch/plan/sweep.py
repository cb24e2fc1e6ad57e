"""The axes of a study: the values that options take, in all combinations or in step, and which of these are wanted."""

import datetime
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from launch.errors import Refusal, nearest
from launch.plan import typed
from launch.plan.request import Count, Seed

MOST = 100_000
"""Runs of a study."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """What is varied: nodes, seed, and options of the workload.

    Parameters
    ----------
    steps : tuple of dict of str to tuple of str
        Name -> values; one name is ``nodes``. The names in one dict vary in step, so have equally many values; of several
        dicts all combinations are made.
    only : tuple of dict of str to tuple of str
        If any are given, a combination is kept where for one of them each name has one of the values.
    exclude : tuple of dict of str to tuple of str
        A combination is left out where for one of them each name has one of the values.

    Raises
    ------
    Refusal
        If an axis or a value stands twice, axes in step differ in length, or a condition names what is not varied.
    """

    steps: tuple[dict[str, tuple[str, ...]], ...] = ({"nodes": ("1",)},)
    only: tuple[dict[str, tuple[str, ...]], ...] = ()
    exclude: tuple[dict[str, tuple[str, ...]], ...] = ()

    def __post_init__(self) -> None:
        refuse_too_large(*(max(map(len, step.values())) for step in self.steps))
        axes: dict[str, tuple[str, ...]] = {}
        for step in self.steps:
            for name, values in step.items():
                if not re.fullmatch(r"[A-Za-z]\S*", name):
                    raise Refusal(
                        f"{typed.shown(name)} cannot be the name of an axis: give that of an option, which begins with a letter"
                    )
                if name in axes:
                    raise Refusal(f"the axis {name} stands twice: give all its values at once")
                axes[name] = values
            counts = {name: len(values) for name, values in step.items()}
            if len(set(counts.values())) > 1:
                said = " and ".join(f"{name} has {count}" for name, count in counts.items())
                raise Refusal(f"axes that vary in step need equally many values, but {said}: make them equal")
            if len(set(rows := list(zip(*step.values())))) < len(rows):
                said = ", ".join(f"{name}={','.join(values)}" for name, values in step.items())
                raise Refusal(f"a value stands twice in {said}: give each once; --repeats runs all again")
        for which, conditions in (("only", self.only), ("exclude", self.exclude)):
            for name, values in itertools.chain.from_iterable(condition.items() for condition in conditions):
                if name not in axes:
                    raise Refusal(f"{which} names {name}, which is not an axis here: {nearest(name, axes)}")
                if stray := next((value for value in values if value not in axes[name]), None):
                    raise Refusal(
                        f"{which} names {name}={stray}, which is none of its values ({', '.join(axes[name])})"
                    )
        for name in ("nodes", "seed"):
            for value in axes.get(name, ()):
                try:
                    typed.from_text(value, {"nodes": Count, "seed": Seed}[name])
                except ValueError as error:
                    raise Refusal(f"the axis {name}: {error}") from None
        if not self.combinations():
            raise Refusal("the filters leave nothing of the study: loosen only or exclude")

    @property
    def vary(self) -> bool:
        """Whether anything was asked to vary, be it with a single value."""
        first, *others = self.steps
        return bool(others) or len(first) > 1 or len(first["nodes"]) > 1

    def combinations(self) -> list[dict[str, str]]:
        """A value for each axis, in all ways that are wanted; the last axis changes fastest."""
        rows = [[dict(zip(step, row)) for row in zip(*step.values())] for step in self.steps]
        combined = [{k: v for row in choice for k, v in row.items()} for choice in itertools.product(*rows)]
        return [c for c in combined if (not self.only or _meets(c, self.only)) and not _meets(c, self.exclude)]


def refuse_too_large(*counts: int) -> None:
    """Refuse a study of so many times so many runs, before there is anything of them.

    Raises
    ------
    Refusal
        If they are more than `MOST`.
    """
    if (count := math.prod(counts)) > MOST:
        said = f"{count:,}" if count < 10**18 else "more than 10^18"
        raise Refusal(f"a study of {said} runs is too large: {MOST:,} are the most; give fewer values or repeats")


def from_words(texts: Iterable[str], nodes: Sequence[int] | None) -> Axes:
    """The axes that ``--nodes 1,2 --sweep lr=1e-3,1e-2 --sweep seed=0..4`` mean: all combinations."""
    return Axes(steps=_with_nodes([{name: tuple(values)} for name, values in map(axis, texts)], nodes))


def axis(text: str) -> tuple[str, list[str]]:
    """``lr=1e-3,1e-2`` or ``seed=0..4`` -> name and values."""
    name, equals, listed = text.partition("=")
    name = name.lstrip("-").strip()
    if span := re.fullmatch(r"(-?[0-9]{1,18})\.\.(-?[0-9]{1,18})", listed):
        low, high = map(int, span.groups())
        refuse_too_large(high - low + 1)
        values = [str(number) for number in range(low, high + 1)]
    else:
        values = [value.strip() for value in listed.split(",")]
    if not (name and equals) or not all(values) or not values:
        raise Refusal(
            f"--sweep {typed.shown(text)} is not an axis: give NAME=VALUE,VALUE,... or NAME=FIRST..LAST, with an option of the workload, or seed"
        )
    return name, values


def from_tables(tables: Mapping[str, Any], texts: Iterable[str], nodes: Sequence[int] | None) -> Axes:
    """The axes of a definition file.

    Parameters
    ----------
    tables : dict
        What the file has of ``axes`` (name -> list of values, or a text as behind ``--sweep NAME=``; all combinations),
        ``zip`` (a list of such tables, whose names vary in step), ``only`` and ``exclude`` (lists of tables: name -> value,
        or a list of values of which any will do).
    texts : iterable of str
        What ``--sweep`` says: an axis of the same name is replaced.
    nodes : sequence of int, optional
        What ``--nodes`` or the file's ``[job]`` says.

    Raises
    ------
    Refusal
        As `Axes`; or if a table or value is none.
    """
    said = [(name, tuple(values)) for name, values in map(axis, texts)]
    alone = {name: _values(name, values) for name, values in table_of(tables, "axes").items() if name not in dict(said)}
    together = [
        {name: _values(name, values) for name, values in table.items()} for table in list_of_tables(tables, "zip")
    ]
    single = [{name: values} for name, values in [*alone.items(), *said]]
    steps = _with_nodes([*single, *filter(None, together)], nodes)
    only, exclude = ([_condition(table) for table in list_of_tables(tables, name)] for name in ("only", "exclude"))
    return Axes(steps=steps, only=tuple(only), exclude=tuple(exclude))


def table_of(tables: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A table within a definition; an empty one where there is none."""
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise Refusal(
            f"{name} = {typed.shown(table)} is not a table: write [{name}], and below it a line NAME = VALUE for each"
        )
    return table


def value_text(name: str, value: Any) -> str:
    """A value of a TOML file as it is written on the command line."""
    whole = isinstance(value, int) and abs(value) < 2**63
    if (
        not (whole or isinstance(value, float | str | datetime.date | datetime.time))
        or value == ""
        or "\0" in f"{value}"
    ):
        raise Refusal(f"{name} = {typed.shown(value)} is not a value: give a number, a text, true or false")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _with_nodes(steps: Sequence[dict[str, tuple[str, ...]]], nodes: Sequence[int] | None) -> tuple[dict, ...]:
    if not any("nodes" in step for step in steps):
        return ({"nodes": tuple(map(str, nodes or (1,)))}, *steps)
    if nodes is not None:
        raise Refusal("the nodes are said twice, as an axis and as an option of the job: leave one of them out")
    return tuple(sorted(steps, key=lambda step: "nodes" not in step))


def list_of_tables(tables: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The tables of one name within a definition."""
    found = tables.get(name, [])
    if not isinstance(found, list) or not all(isinstance(table, dict) for table in found):
        how = (
            f"write [[{name}]]"
            if name in ("zip", "link")
            else f"write {name} = [{{width = 64}}, {{width = 32, lr = 0.01}}]"
        )
        raise Refusal(f"{name} is not a list of tables: {how}")
    return found


def _values(name: str, given: Any) -> tuple[str, ...]:
    if isinstance(given, str):
        return tuple(axis(f"{name}={given}")[1])
    if not isinstance(given, list) or not given:
        raise Refusal(
            f"the axis {name} = {typed.shown(given)} is not a list of values: give {name} = [1, 2] or {name} = '0..4'"
        )
    return tuple(value_text(name, value) for value in given)


def _condition(given: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    lists = {name: value if isinstance(value, list) else [value] for name, value in given.items()}
    return {name: tuple(value_text(name, value) for value in values) for name, values in lists.items()}


def _meets(combination: Mapping[str, str], conditions: Iterable[Mapping[str, Sequence[str]]]) -> bool:
    """Whether a combination fulfils one of the conditions, in all its names."""
    return any(all(combination[name] in values for name, values in condition.items()) for condition in conditions)

"""The axes of a study: the values that options take, in all combinations or in step, and which of these are wanted."""

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from launch.errors import Refusal, nearest
from launch.plan import typed
from launch.plan.typed import Count, Seed

MOST = 100_000
"""Most runs of a study."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """What is varied: nodes, seed, and options of what is run.

    Parameters
    ----------
    steps : tuple of dict of str to tuple of str
        Names and their values; one name is ``nodes``. The names in one dict vary in step, so they have equally many
        values. All combinations of the dicts are made.
    only : tuple of dict of str to tuple of str
        If any are given, a combination is kept only if, for one of them, each name has one of the values.
    exclude : tuple of dict of str to tuple of str
        A combination is left out if, for one of them, each name has one of the values.

    Raises
    ------
    Refusal
        If an axis or a value is given twice, axes in step differ in length, or a condition names something that does
        not vary.
    """

    steps: tuple[dict[str, tuple[str, ...]], ...] = ({"nodes": ("1",)},)
    only: tuple[dict[str, tuple[str, ...]], ...] = ()
    exclude: tuple[dict[str, tuple[str, ...]], ...] = ()

    def __post_init__(self) -> None:
        if not self.steps or not all(self.steps) or "nodes" not in self.steps[0]:
            raise Refusal("a study varies the nodes first, and something in each of its steps: give them axes")
        refuse_too_large(*(max(map(len, step.values())) for step in self.steps))
        axes: dict[str, tuple[str, ...]] = {}
        for step in self.steps:
            for name, values in step.items():
                _refuse_name(name, axes)
                axes[name] = values
            _refuse_rows(step)
        for which, conditions in (("only", self.only), ("exclude", self.exclude)):
            for condition in conditions:
                _refuse_strays(which, condition, axes)
        for name, hint in (("nodes", Count), ("seed", Seed)):
            for value in axes.get(name, ()):
                try:
                    typed.from_text(value, hint)
                except ValueError as error:
                    raise Refusal(f"the axis {name}: {error}") from None
        if not self.combinations():
            raise Refusal("the filters leave nothing of the study: loosen only or exclude")

    @property
    def vary(self) -> bool:
        """Whether anything was asked to vary, even with a single value."""
        first, *others = self.steps
        return bool(others) or len(first) > 1 or len(first["nodes"]) > 1

    def combinations(self) -> list[dict[str, str]]:
        """Return all wanted combinations of a value for each axis; the last axis changes fastest."""
        rows = [[dict(zip(step, row)) for row in zip(*step.values())] for step in self.steps]
        combined = [{k: v for row in choice for k, v in row.items()} for choice in itertools.product(*rows)]
        return [c for c in combined if (not self.only or _meets(c, self.only)) and not _meets(c, self.exclude)]


def refuse_too_large(*counts: int) -> None:
    """Refuse a study with too many runs, before any of them is made.

    Raises
    ------
    Refusal
        If there are more than `MOST`.
    """
    if (count := math.prod(counts)) > MOST:
        said = f"{count:,}" if count < 10**18 else "more than 10^18"
        raise Refusal(f"a study of {said} runs is too large: {MOST:,} are the most; give fewer values or repeats")


def from_words(texts: Iterable[str], nodes: Sequence[int] | None) -> Axes:
    """Return the axes that ``--nodes 1,2 --sweep lr=1e-3,1e-2 --sweep seed=0..4`` mean: all combinations."""
    return Axes(steps=with_nodes([{name: tuple(values)} for name, values in map(axis, texts)], nodes))


def axis(text: str) -> tuple[str, list[str]]:
    """Split ``lr=1e-3,1e-2`` or ``seed=0..4`` into name and values, both as written."""
    name, equals, listed = text.partition("=")
    name = name.strip().removeprefix("--")
    if span := re.fullmatch(r"(-?[0-9]{1,18})\.\.(-?[0-9]{1,18})", listed):
        low, high = map(int, span.groups())
        if low > high:
            raise Refusal(
                f"--sweep {typed.shown(text)}: a range goes upwards: give {name}={high}..{low}, or single values"
            )
        refuse_too_large(high - low + 1)
        padded = re.search(r"(?<![0-9])0[0-9]", listed)  # 08..12 includes 09, as in a shell
        width = max(map(len, span.groups())) if padded else 0
        values = [f"{number:0{width}}" for number in range(low, high + 1)]
    elif re.fullmatch(r"[-+.0-9eE]*[0-9]\.\.[-+.0-9eE]*", listed):
        raise Refusal(
            f"--sweep {typed.shown(text)}: a range has whole numbers, FIRST..LAST: give other values one by one, as "
            f"{name}=0.1,0.2"
        )
    else:
        values = _split(name, listed)
    if not (name and equals) or not all(values) or not values:
        raise Refusal(
            f"--sweep {typed.shown(text)} is not an axis: give NAME=VALUE,VALUE,... or NAME=FIRST..LAST, with an "
            "option of what is run, or seed"
        )
    return name, values


_CLOSES = {")": "(", "]": "[", "}": "{"}


def _split(name: str, text: str) -> list[str]:
    """Return the values between commas, without the blanks around them. Commas in brackets, braces, parentheses and
    quotes do not separate."""
    values, begin, quote = [], 0, ""
    open_: list[str] = []
    for found in re.finditer(r"""\\[^,]|["'\[\](){},]""", text, re.DOTALL):
        sign, place = found[0], found.start()
        if quote:
            quote = "" if sign == quote else quote
        elif sign == '"' or sign == "'" and not text[place - 1 : place].isalnum():  # else an apostrophe in a word
            quote = sign
        elif sign in _CLOSES.values():
            open_.append(sign)
        elif sign in _CLOSES and (not open_ or open_.pop() != _CLOSES[sign]):
            raise _unbalanced(name, text, sign)
        elif sign == "," and not open_:
            values.append(text[begin:place])
            begin = place + 1
    if quote or open_:
        raise _unbalanced(name, text, quote or open_[-1])
    return [value.strip(" \t") for value in (*values, text[begin:])]


def _unbalanced(name: str, text: str, sign: str) -> Refusal:
    return Refusal(
        f"--sweep {name}={typed.shown(text)}: {sign} is not closed: close it, or write the values "
        "into a definition file, where each value is a string of its own"
    )


def with_nodes(steps: Sequence[dict[str, tuple[str, ...]]], nodes: Sequence[int] | None) -> tuple[dict, ...]:
    """Return the steps of `Axes`, with the nodes first: those of ``--nodes`` or of the file's ``[job]``, unless nodes
    are an axis."""
    if not any("nodes" in step for step in steps):
        return ({"nodes": tuple(map(str, nodes or (1,)))}, *steps)
    if nodes is not None:
        raise Refusal("the nodes are given twice, as an axis and as an option of the job: leave one of them out")
    return tuple(sorted(steps, key=lambda step: "nodes" not in step))


def _meets(combination: Mapping[str, str], conditions: Iterable[Mapping[str, Sequence[str]]]) -> bool:
    """Return whether a combination fulfils one of the conditions in all names."""
    return any(all(combination[name] in values for name, values in condition.items()) for condition in conditions)


def _refuse_name(name: str, others: Iterable[str]) -> None:
    if not re.fullmatch(r"[^\W\d][^\s={}]*", name) or not name.isprintable():
        raise Refusal(
            f"{typed.shown(name)} cannot be the name of an axis: give that of an option, which begins with a letter; "
            "other forms stand among the arguments of the program: --sweep n=1,2 program -n {n}"
        )
    if name.replace("_", "-") in {other.replace("_", "-") for other in others}:
        raise Refusal(f"the axis {name} is given twice: give all its values at once")


def _refuse_rows(step: Mapping[str, Sequence[str]]) -> None:
    if len({len(values) for values in step.values()}) > 1:
        counts = " and ".join(f"{name} has {len(values)}" for name, values in step.items())
        raise Refusal(f"axes that vary in step need equally many values, but {counts}: make them equal")
    rows = list(zip(*step.values()))
    if len(set(rows)) < len(rows):
        listed = ", ".join(f"{name}={_listed(values)}" for name, values in step.items())
        raise Refusal(f"a value is given twice in {listed}: give each once; --repeats runs a point several times")


def _refuse_strays(which: str, condition: Mapping[str, Sequence[str]], axes: Mapping[str, Sequence[str]]) -> None:
    for name, values in condition.items():
        if name not in axes:
            raise Refusal(f"{which} names {_listed([name])}, which is not an axis here: {nearest(name, axes)}")
        if strays := [value for value in values if value not in axes[name]]:
            known = _listed(axes[name], ", ")
            raise Refusal(f"{which} names {name}={_listed(strays[:1])}, which is none of its values ({known})")


def _listed(values: Iterable[str], separator: str = ",") -> str:
    """Return values for a message: as written if that is one short line."""
    text = separator.join(values)
    return text if text.isprintable() and len(text) < 200 else typed.shown(text)

"""Searches what ranks have printed into logs/ for the figures of merit of a run.

Logs may be long, and a pattern may be bad. So logs are read from their end, and the caller sets a time limit with
`launch.plan.patterns.within`.
"""

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from launch.plan import figures, patterns
from launch.plan.figures import Figure
from launch.record.files import lines_from_end, size_of
from launch.record.rundir import RunDir

NO_UNIT = "no unit"
"""The unit of a rate for which none is given."""

_GLANCE = 65536  # bytes of a log that are searched for what other ranks printed too
_LINE = 65536  # bytes of a line that are searched, from its end
_LABEL = re.compile(rb"\s*([0-9]{1,9}): ?")
_COLOUR = re.compile(rb"\x1b\[[0-9;:?]*[A-Za-z]")  # and other cursor movements of a terminal, which nobody sees
_BEFORE = re.compile(rb"(?!0+$)[0-9][0-9.,]*$")  # what may be the beginning of a number that a pattern cuts
_EXPONENT = re.compile(rb"[eEdD][+-]?[0-9]")
_COMMAS = re.compile(rb"(?:,[0-9]+)+")
_MULTIPLE = re.compile(rb"[kKMGT](?![A-Za-z])")  # thousands, millions ...
_NUMBER = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eEdD][+-]?[0-9]+)?")


class Found(NamedTuple):
    """A figure, as printed."""

    value: float
    unit: str  # empty if it has none
    of_ranks: str = ""  # if several ranks have printed it and none was asked for: "all", or that whose number counts


class NotFound(Exception):
    """A figure is not known. The message says why, in words that follow its name."""


def find(
    run: RunDir,
    name: str,
    figure: Figure,
    nodes: int,
    ranks_per_node: int,
    begins: Sequence[int] = (),
    on_their_own: bool = False,
) -> Found:
    """Find a figure in the logs of an attempt, each after as many bytes as ``begins`` has for its node.

    If no ranks were asked for, and all of them have printed it and work ``on_their_own``, it is that of all together.
    Otherwise it is that of the lowest rank that has printed it.

    Raises
    ------
    NotFound
        If no rank has printed it, or what was printed is not a finite number.
    Unreadable
        If a log cannot be read.
    """
    pattern = patterns.compiled(name, figure["pattern"])
    group, ranks, take = patterns.group(pattern), figure.get("ranks"), figures.take(figure)
    last = ranks == "all" or take == "last"  # only the last number of each rank counts
    every = ranks == "all" or ranks is None and on_their_own
    found: dict[int, _Numbers] = {}
    for node in range(nodes) if ranks in (None, "all") else [int(ranks) // ranks_per_node]:
        own = range(node * ranks_per_node, (node + 1) * ranks_per_node)
        wanted = set(own) if every else {own[0] if ranks is None else int(ranks)}
        for rank, match in _matches(run.node_log(node), _begin(begins, node), pattern):
            if rank not in (own if ranks in (None, "all") else wanted) or last and rank in found:
                continue
            found.setdefault(rank, _Numbers()).read(match, group, figure.get("unit", ""))
            if last and not wanted - found.keys():
                break
        if found and not every:
            break
    if not found:
        of_rank = "" if ranks in (None, "all") else f" of rank {ranks}"
        raise NotFound(f"its pattern matches nothing that the ranks printed{of_rank}")
    if every and len(found) == nodes * ranks_per_node:
        together = _Numbers()
        for numbers in found.values():
            together.add(numbers.reduced("last" if ranks == "all" else take))
        if ranks == "all":
            return together.reduced(take)
        return together.reduced(figures.over_ranks(figure))._replace(of_ranks="all")
    if ranks == "all":
        raise NotFound(f"{len(found)} of {nodes * ranks_per_node} ranks have printed it")
    lowest = min(found)
    several = len(found) > 1 or ranks is None and _others(run, lowest, nodes, ranks_per_node, begins, pattern)
    return found[lowest].reduced(take)._replace(of_ranks=str(lowest) if several else "")


def _begin(begins: Sequence[int], node: int) -> int:
    return begins[node] if node < len(begins) else 0


def _others(
    run: RunDir, lowest: int, nodes: int, ranks_per_node: int, begins: Sequence[int], pattern: re.Pattern[bytes]
) -> bool:
    """Return whether other ranks have printed a figure too, by the ends of the logs of the lowest one's node and the
    next: what all ranks print, these print as well."""
    first = lowest // ranks_per_node
    for node in range(first, min(first + 2, nodes)):
        log, own = run.node_log(node), range(node * ranks_per_node, (node + 1) * ranks_per_node)
        begin = max(_begin(begins, node), size_of(log) - _GLANCE)
        if any(rank != lowest and rank in own for rank, _ in _matches(log, begin, pattern)):
            return True
    return False


class _Numbers:
    """The numbers of matches, the last one first. Only what is needed to reduce them is kept, as they may be many."""

    def __init__(self) -> None:
        self.count, self.total, self.least, self.most = 0, 0.0, math.inf, -math.inf
        self.last = Found(math.nan, "")
        self.wrong = ""  # what is wrong with one of them

    def read(self, match: re.Match[bytes], group: int, unit: str) -> None:
        """Add the number of a match, with the unit in the match or else the given one."""
        text = (match[group] or b"").strip()
        value = float(text.lower().replace(b"d", b"e")) if _NUMBER.fullmatch(text) else math.nan
        if not math.isfinite(value):
            comma = (
                "; of numbers with a comma none is read: LC_ALL=C has many programs print a point"
                if b"," in text
                else ""
            )
            self.wrong = self.wrong or f"{_shown(text)!r} is not a finite number{comma}"
            return
        if (printed := _whole(match, group, unit or _shown(match.groupdict().get("unit") or b""))) != text:
            self.wrong = self.wrong or (
                f"its pattern takes {_shown(text)!r} of {_shown(printed)!r}: take all of it, or go on behind the "
                "number if that is meant"
            )
            return
        own = match.groupdict().get("unit")
        self.add(Found(value, _shown(own) if own else unit))

    def add(self, number: Found) -> None:
        """Add a number."""
        if not self.count:
            self.last = number
        elif number.unit != self.last.unit:
            self.wrong = f"it is printed in two units, {number.unit or NO_UNIT} and {self.last.unit or NO_UNIT}"
        self.count += 1
        self.total += number.value
        self.least, self.most = min(self.least, number.value), max(self.most, number.value)

    def reduced(self, take: figures.Take) -> Found:
        """Return the numbers, reduced to one."""
        if self.wrong:
            raise NotFound(self.wrong)
        if take == "last":
            return self.last
        made = {"sum": self.total, "mean": self.total / self.count, "min": self.least, "max": self.most}[take]
        return Found(made, self.last.unit)


def _matches(path: Path, begin: int, pattern: re.Pattern[bytes]) -> Iterator[tuple[int, re.Match[bytes]]]:
    """Yield the matching lines of a log, without colours, the last one first, each with its rank. A line that \\r
    redraws counts as several."""
    search, label_of = pattern.search, _LABEL.match
    within = patterns.literal(pattern.pattern.decode(errors="surrogateescape"))
    for line in lines_from_end(path, begin, (within, b"\x1b")):
        if label := label_of(line):
            said = line[max(label.end(), len(line) - _LINE) :]
            for state in reversed(said.split(b"\r")) if b"\r" in said else (said,):
                if match := search(_COLOUR.sub(b"", state) if b"\x1b" in state else state):
                    yield int(label[1]), match


def _whole(match: re.Match[bytes], group: int, unit: str) -> bytes:
    """Return the number that a group has matched, with what the pattern has cut off at its ends: digits, an exponent,
    or a letter for thousands or millions. What the pattern itself matches there is meant."""
    line, start, end = match.string, *match.span(group)
    text, behind = line[start:end].strip(), line[end:]
    if start == match.start() and (before := _BEFORE.search(line[:start])) and _goes_on(before[0][-1:], text):
        start = before.start()
    if end == match.end() and (
        behind[:1].isdigit()
        or (behind[:1] == b"." and behind[1:2].isdigit() and b"." not in text)
        or _EXPONENT.match(behind)
        or (_MULTIPLE.match(behind) and not unit.startswith(behind[:1].decode()) and (unit or behind[:1] != b"K"))
        or (text.isdigit() and line[start - 1 : start] != b"," and _is_one_number(text, _COMMAS.match(behind)))
    ):
        end += len(behind.split(maxsplit=1)[0])
    return line[start:end].strip()


def _goes_on(sign: bytes, text: bytes) -> bool:
    """Return whether a digit, point or comma before a text is that of the same number, and not of a list."""
    if sign == b",":
        return bool(re.match(rb"[0-9]{3}(?![0-9])", text))
    return sign != b"." or b"." not in text


def _is_one_number(digits: bytes, more: re.Match[bytes] | None) -> bool:
    """Return whether digits and what is behind their comma are one number, as in 1,900,000 and 12,5, and not a list."""
    if more is None:
        return False
    parts = more[0].split(b",")[1:]
    return len(parts) == 1 or len(digits) <= 3 and all(len(part) == 3 for part in parts)


def _shown(text: bytes) -> str:
    """Return printed text as a word for messages."""
    shown = "".join(sign if sign.isprintable() else "?" for sign in text.decode(errors="replace"))
    return shown if len(shown) <= 40 else f"{shown[:37]}..."

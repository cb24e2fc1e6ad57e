"""A heading of a table -> what its column means, by the names in names.toml."""

import functools
import re
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

Meaning = Literal[
    "workers", "shape", "time", "throughput", "rate of one", "speed-up", "efficiency", "count", "count of one", "size",
    "ideal", "actual", "spread", "repeat", "passed over", "unknown",
]  # fmt: skip
"""``shape``: workers within another, such as ranks per node; ``rate of one``, ``count of one``: those of one worker."""

_UNITS = {
    1e-9: "ns nsec nsecs nanoseconds",
    1e-6: "us µs μs usec usecs microseconds",
    1e-3: "ms msec msecs millisecond milliseconds",
    1.0: "s sec secs second seconds seg segundos sek sekunden",
    60.0: "min mins minute minutes",
    3600.0: "h hr hrs hour hours",
    86400.0: "d day days",
}
SECONDS = {unit: seconds for seconds, units in _UNITS.items() for unit in units.split()}
"""Units of time."""

UNLIKELY = 5
"""Rank from which on a column counts only where the user names it or there is no other."""


@dataclass(frozen=True)
class Heading:
    """What the name of a column says."""

    text: str  # as it stands in the table, without marks of Markdown
    meaning: Meaning
    rank: int = 0  # among columns of one meaning, the smallest counts
    unit: str = ""  # unit of its values, if the heading says it
    per: str = ""  # what a time is for: step, element; for a rate of time per time that may be the inverse, its unit
    worker: str = ""  # kind of worker: GPU, node; for the rate, count or shape of one worker, its kind


@functools.cache
def _known() -> dict[str, Any]:
    return tomllib.loads((resources.files("profiling.tables") / "names.toml").read_text(encoding="utf-8"))


@functools.cache
def _phrases() -> dict[tuple[str, ...], tuple[Meaning, int, str]]:
    """Return the words of a name -> what it means, its rank, and the kind of worker."""
    known, found = _known(), {}
    other, work = known["other"], known["work"]
    groups: list[tuple[list[str], Meaning, int, str]] = [
        (other["labels"], "unknown", 0, ""),
        (other["ideal"], "ideal", 0, ""),
        (other["actual"], "actual", 1, ""),
        (other["spread"], "spread", 0, ""),
        (other["repeat"], "repeat", 0, ""),
        (other["passed_over"], "passed over", 0, ""),
        (work["counts"], "count", 0, ""),
        (work["sizes"], "size", 0, ""),
        *((names, "workers", 0, worker) for worker, names in known["workers"].items()),
        (known["throughput"]["names"], "throughput", 0, ""),
        (known["throughput"]["weaker"], "throughput", 2, ""),
        (known["time"]["names"], "time", 0, ""),
        (known["time"]["weaker"], "time", 2, ""),
        (known["speedup"]["names"], "speed-up", 0, ""),
        (known["efficiency"]["names"], "efficiency", 0, ""),
    ]
    for names, meaning, rank, worker in groups:
        found |= {tuple(name.split()): (meaning, rank, worker) for name in names}
    return found


def plain(text: object) -> str:
    """Return a text without the markup that Markdown, LaTeX and HTML set around it."""
    linked = re.sub(r"\[([^\[\]]*)\]\((?:https?://|[./#])[^()\s]*\)", r"\1", str(text))
    bare = re.sub(r"<[^<>]*>|[*`$\\]|__|\[\^\w{1,3}\]", " ", linked)
    return " ".join(bare.split()).strip(" :\"'")


@functools.cache
def _workers() -> dict[str, str]:
    return {name: worker for worker, names in _known()["workers"].items() for name in names if len(name) > 1}


def worker(name: str) -> str:
    """Return the kind of worker that a name stands for; empty if it stands for none."""
    return _workers().get(" ".join(name.lower().split()), "")


def plural(worker: str) -> str:
    """Return what several workers of a kind are called."""
    return f"{worker or 'worker'}s".replace("processs", "processes")


def known(name: str) -> Meaning:
    """Return what a name means that is known as a whole; "unknown" if it is not."""
    return _phrases().get(tuple(name.split()), ("unknown", 0, ""))[0]


def is_time(unit: str) -> bool:
    """Return whether a text is a unit of time."""
    return unit.lower() in SECONDS


def heading(text: object) -> Heading:
    """Return what a heading says about its column."""
    shown = plain(text)
    brackets = _brackets(shown)
    bare = re.sub(r"[(\[][^()\[\]]*[)\]]?", " ", shown)
    bare = re.split(r"\s(?:vs\.?|versus|relative to|compared|from|over|->|=)\s", f" {bare} ", maxsplit=1)[0]
    unit = next((part for part in brackets if _is_unit(part)), "")
    bare += next((f" per {found}" for found in map(_each, brackets) if found), "")  # img/s (per GPU)
    if not unit and is_time(bare.rpartition(",")[2].strip()):  # "Time, s"
        bare, _, unit = bare.rpartition(",")
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z]{2})", " ", bare)
    split = re.sub(r"[_.:,\-–]", " ", spaced).lower().split()
    words = " ".join(_known()["abbreviations"].get(word, word) for word in split)
    return _of_words(shown, words, unit.strip())


def _brackets(shown: str) -> list[str]:
    """Return what stands in the brackets of a heading; "in minutes" and "mins." become the unit alone."""
    parts = [part.strip() for part in re.findall(r"[(\[]([^()\[\]]*)[)\]]", shown)]
    bare = [re.sub(r"(?i)^in\s+", "", part).rstrip(".") for part in parts]
    return [one if is_time(one) else part for one, part in zip(bare, parts)]


def _each(part: str) -> str:
    """Return the worker that something in brackets is said to be of, as "per GPU" is; empty if it is of none."""
    of_one = re.fullmatch(r"(?:/|per\b|(?:for )?each\b|(?:of|for) one\b)[\s-]*(.*)", part.lower())
    return of_one[1] if of_one and worker(of_one[1]) else ""


def of_all(unit: str) -> tuple[str, str]:
    """Return a unit without the worker that it is of, and that worker: tokens/GPU/s is tokens/s of a GPU."""
    for below in re.finditer(r"\s*(?:/|\bper\b)[\s-]*", unit):
        for end in _ends(unit[below.end() :]):
            if name := worker(unit[below.end() : below.end() + end]):
                return (unit[: below.start()] + unit[below.end() + end :]).strip(), name
    return unit, ""


def odd_unit(heading: Heading) -> str:
    """Return what stands like a unit in the brackets of a heading of times but is not a known one; or an empty text."""
    if heading.unit:
        return ""
    unlike = r"[a-zA-Zµμ]{1,2}|[\d.x×*·^ ]+\s*(s|ms|us|sec|secs|seconds|min|h)"
    odd = (part for part in _brackets(heading.text) if re.fullmatch(unlike, part))
    return next((part for part in odd if part.lower() not in ("p", "n", "np")), "")  # T(P) is the time of P workers


def _is_unit(part: str) -> bool:
    """Return whether what stands in brackets is a unit, and not a remark."""
    low = part.lower()
    return is_time(low) or "/" in low or " per " in low or low == "%" or _lookup(low)[0] == "throughput"


@dataclass(frozen=True)
class _Quotient:
    """ "images / s / GPU" taken apart."""

    of: str  # images
    per_time: str = ""  # s
    per_worker: str = ""  # GPU
    per_other: str = ""  # step


def _quotient(words: str) -> _Quotient:
    first, *below = re.split(r"\s*/\s*|\bper\b", words)
    time = one = other = ""
    for part in map(str.strip, below):
        name = next((part[:end] for end in _ends(part) if worker(part[:end])), "")
        second = re.match(r"(?:cpu |wall |wallclock )?(\S+)", part)
        if second and is_time(second[1]):
            time, rest = second[1], part[second.end() :]
        elif name and not (
            name.endswith("s") and len(below) == 1 and _lookup(first)[0] == "workers"
        ):  # threads / ranks
            one, rest = worker(name), part[len(name) :]
        elif name:
            rest = ""
        else:
            other, rest = part, ""
        first += f" {rest}"
    return _Quotient(" ".join(first.split()), time, one, other)


def _ends(part: str) -> list[int]:
    """Return where words end in a text, the farthest first."""
    return [found.end() for found in re.finditer(r"[^\s/]+", part)][::-1]


def _of_words(text: str, words: str, unit: str) -> Heading:
    whole, of_unit = _quotient(words), _quotient(unit.lower())
    one = whole.per_worker or of_unit.per_worker
    unit = of_all(unit)[0]
    meaning, own, works = _lookup(whole.of)
    rank = own + _rank(words)
    if is_time(whole.of) and whole.per_time:  # ns/day is a rate, hours/ns a time, and days/hour may be either
        below = SECONDS[whole.per_time]
        if below <= 1e-6:
            return Heading(text, "time", rank + UNLIKELY, whole.of, whole.per_time)
        return Heading(text, "throughput", rank, text, whole.per_time * (SECONDS[whole.of] >= below))
    if meaning in ("ideal", "spread"):
        return Heading(text, meaning, rank, unit)
    if is_time(whole.of):  # seconds, s/step
        return Heading(text, "time", rank, whole.of, whole.per_other)
    head, _, tail = whole.of.rpartition(" ")
    if tail in ("s", "sec") and not unit and _counted(head):  # images_s
        return Heading(text, "throughput", rank, f"{head}/s")
    if tail in ("h", "hr", "hrs", "hour", "hours") and _lookup(head)[0] == "workers":  # GPU-hours are a cost
        return Heading(text, "passed over", rank, unit)
    if is_time(tail) and not unit and not whole.per_time:  # mean time ms, elapsed_s, t_ms
        if (before := _lookup(head)[0]) in ("time", "unknown", "repeat", "workers", "size", "actual", "count"):
            return Heading(text, "time", rank + UNLIKELY * (before == "workers"), tail)
    if meaning == "time":
        return Heading(text, "time", rank + UNLIKELY * bool(one), whole.per_time or unit, whole.per_other)
    if is_time(unit) and meaning not in ("speed-up", "efficiency", "passed over"):
        return Heading(text, "time", rank + UNLIKELY * (meaning == "workers"), unit)
    if meaning not in ("speed-up", "efficiency", "passed over") and (
        whole.per_time or of_unit.per_time or meaning == "throughput" or _lookup(of_unit.of)[0] == "throughput"
    ):
        named = re.sub(r"\s*[(\[].*", "", text)  # images/s
        unit = unit or of_all(named)[0] * bool(whole.per_time)
        return Heading(text, "rate of one" if one else "throughput", rank, unit, worker=one)
    a_step = re.match(r"(time ?)?step|iter|epoch|batch|run\b", whole.per_other)  # images per step are the work of all
    if (one or whole.per_other and not a_step) and meaning in ("workers", "count", "size"):
        return Heading(text, "shape" if meaning == "workers" else "count of one", rank, unit, worker=one)
    return Heading(text, meaning, rank, unit, worker=works)


def _lookup(words: str) -> tuple[Meaning, int, str]:
    """Return the longest known name among some words, of equally long ones the last; ideal and spread come first."""
    fillers = set(_known()["fillers"])
    split = words.replace("/", " ").replace("#", " ").lower().split()
    kept = [word for word in split if word not in fillers] or split
    for word in kept:
        if (found := _phrases().get((word,))) and found[0] in ("ideal", "spread"):
            return found
    for size in range(min(4, len(kept)), 0, -1):
        for start in range(len(kept) - size, -1, -1):
            name = tuple(kept[start : start + size])
            if len("".join(name)) == 1 and len(kept) > 1:
                continue  # a single letter among words
            if found := _phrases().get(name):
                return found
    return ("unknown", 0, "")


def _counted(words: str) -> bool:
    """Return whether some words end in things that are counted, such as images, not in what takes time, as step."""
    last, known = words.rpartition(" ")[2], _known()
    return last in known["throughput"]["things"] or last in known["work"]["counts"] and bool(re.search("...s$", last))


def _rank(words: str) -> int:
    split, known = set(words.replace("/", " ").split()), _known()
    if split & set(known["parts"]) or any(f" {part} " in f" {words} " for part in known["parts"] if " " in part):
        return UNLIKELY
    if split & set(known["statistics"]):
        return 3
    return 0 if split & set(known["surest"]) else 1

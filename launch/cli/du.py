"""python -m launch du [RUN|FOLDER ...] [--json]: how much room runs take on the disk, by part, and all together.

A study has one line, or one for each of its runs if you name it. Without a name, everything in the folder of the runs
is shown.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from launch.cli import status
from launch.cli.names import Named
from launch.plan import options
from launch.record import sizes
from launch.record.study import is_study
from launch.submit import places


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(Named):
    """How to show the sizes."""

    json: bool = False  # print JSON, in bytes, for programs


def main(argv: list[str]) -> int:
    """Print a line for each study or run, and one for all; return 0.

    Raises
    ------
    Refusal
        If something named is neither a run nor a folder with runs.
    """
    chosen, words = options.with_words(Options, argv, "du")
    named = chosen.paths(words)
    whole = {path.absolute() for path in named if is_study(path)} if words else set()
    entries: list[tuple[Path, int, Counter[str]]] = []
    unread: list[Path] = []
    for folder, runs in places.grouped(places.find(named)).items():
        each = {run: sizes.of_run(run, unread) for run in runs}
        alone = runs == [folder]
        asked_for = not words or any(folder.is_relative_to(path.absolute()) for path in named)
        rest = sizes.of_study(folder, runs, unread) if asked_for and not alone else Counter()
        if asked_for and not alone and folder not in whole:
            entries.append((folder, len(runs), sum(each.values(), rest)))
            continue
        entries += [(run, 1, parts) for run, parts in each.items()]
        if folder in whole:
            entries.append((folder, 0, rest))
    total = sum((parts for _, _, parts in entries), Counter())
    if chosen.json:
        found = [{"path": str(path), "runs": count, **_bytes(parts)} for path, count, parts in entries]
        print(json.dumps({"entries": found, "total": _bytes(total), "unread": list(map(str, unread))}, indent=1))
        return 0
    rows = [_row(str(path) + " (beside its runs)" * (count == 0), count, parts) for path, count, parts in entries]
    rows.append(_row("total", sum(count for _, count, _ in entries), total))
    status.show(status.table(rows, always=("name", "all")))
    if unread:
        some = ", ".join(map(str, unread[:3])) + f" and {len(unread) - 3} more" * (len(unread) > 3)
        print(f"you cannot read these, so they are not counted: {some}")
    return 0


def _bytes(parts: Counter[str]) -> dict[str, int]:
    return {"bytes": parts.total(), **{f"{part}_bytes": parts[part] for part in sizes.PARTS}}


def _row(name: str, count: int, parts: Counter[str]) -> dict[str, str]:
    shown = {part: sizes.text(parts[part]) if parts[part] else "" for part in sizes.PARTS}
    return {"name": name, "runs": str(count or ""), "all": sizes.text(parts.total()), **shown}

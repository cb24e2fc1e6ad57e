"""Finds runs in folders, and groups them by their studies."""

import functools
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from launch.errors import Refusal
from launch.record.study import is_study, names_in
from launch.submit.workflow import stages


def find(words: Iterable[str | Path]) -> list[Path]:
    """Return the named runs, and the runs in the named folders, in natural order of their paths.

    Raises
    ------
    Refusal
        If something named is neither a run nor a folder with runs.
    """
    found: dict[Path, None] = {}
    for word in words:
        below = sorted(_below(Path(word)), key=_natural)
        if not below and (path := Path(word).absolute()).name in names_in(path.parent):
            below = [Path(word)]
        if not below:
            what = "has no run in it" if os.path.isdir(word) else "is not a folder"
            raise Refusal(f"{word} {what}: give a run, or a folder of runs")
        found |= dict.fromkeys(below)
    return list(found)


def grouped(paths: Iterable[Path]) -> dict[Path, list[Path]]:
    """Group runs by the study that they belong to; a run without a study is a group of its own."""
    names = functools.cache(names_in)
    groups: dict[Path, list[Path]] = {}
    for path in (path.absolute() for path in paths):
        groups.setdefault(path.parent if path.name in names(path.parent) else path, []).append(path)
    return groups


def _below(folder: Path) -> Iterator[Path]:
    """Yield the runs in a folder, itself included, folders that cannot be entered, and workflows with a damaged index.
    The many files of a run are not looked at."""
    folders = [folder]
    while folders:
        folder = folders.pop()
        if os.path.lexists(folder / "run.json"):
            yield folder
            continue
        try:
            if stages.is_workflow(folder):
                try:
                    yield from (stage.folder for stage in stages.read(folder) if not os.path.lexists(stage.folder))
                except Refusal:  # its index is damaged, which must not hide its runs, nor those of others
                    yield folder
            if is_study(folder):
                yield from (
                    gone for name in names_in(folder) if not os.path.lexists((gone := folder / name) / "run.json")
                )
            with os.scandir(folder) as entries:
                inner = [entry for entry in entries if entry.is_dir(follow_symlinks=False) and entry.name[0] != "."]
            folders += [folder / entry.name for entry in inner]
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            yield folder


def _natural(path: Path) -> list[Any]:
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", str(path)))]

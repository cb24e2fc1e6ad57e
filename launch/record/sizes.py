"""How much disk space runs take, by part: checkpoints, readings, traces, logs and the rest."""

import os
from collections import Counter
from pathlib import Path

PARTS = ("checkpoints", "readings", "traces", "logs", "steps", "code", "other")
_PART_OF = {name: name for name in PARTS[:-1]} | {"failures": "logs", "tensorboard": "traces"}


def of_run(folder: Path, unread: list[Path]) -> Counter[str]:
    """Return the bytes of each part of a run. Links are not followed, a file with several names counts once, and
    folders do not count.

    Folders that cannot be read, such as another user's, are added to ``unread``.
    """
    return _of(folder, Path("."), set(), unread)


def of_study(folder: Path, runs: list[Path], unread: list[Path]) -> Counter[str]:
    """Return the bytes of what a study has besides its runs: the copy of its code, and "other" (its index, jobs and
    reports). ``unread`` is as in `of_run`."""
    own = set(runs)
    seen: set[tuple[int, int]] = set()
    total: Counter[str] = Counter()
    for entry in _entries(folder, unread):
        if Path(entry.path) not in own and not os.path.lexists(os.path.join(entry.path, "run.json")):
            if entry.is_dir(follow_symlinks=False):
                total["code" if _is_code(entry.name) else "other"] += _of(
                    Path(entry.path), Path(entry.name), seen, unread
                ).total()
            else:
                total["other"] += _size(entry, seen)
    return total


def text(size: int) -> str:
    """Return a size for people: 0, 812 B, 3.4 MiB."""
    value, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def _is_code(name: str) -> bool:
    return name == ".code" or name.startswith(".code-")


def _of(folder: Path, inner: Path, seen: set[tuple[int, int]], unread: list[Path]) -> Counter[str]:
    total: Counter[str] = Counter()
    folders = [(folder, inner)]
    while folders:
        here, within = folders.pop()
        for entry in _entries(here, unread):
            part = (within / entry.name).parts[0]
            if entry.is_dir(follow_symlinks=False):
                folders.append((Path(entry.path), within / entry.name))
            else:
                total["code" if _is_code(part) else _PART_OF.get(part, "other")] += _size(entry, seen)
    return total


def _entries(folder: Path, unread: list[Path]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:  # it has been removed meanwhile
        return []
    except OSError:
        unread.append(folder)
        return []


def _size(entry: os.DirEntry[str], seen: set[tuple[int, int]]) -> int:
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return 0
    if status.st_nlink > 1:
        if (status.st_dev, status.st_ino) in seen:
            return 0
        seen.add((status.st_dev, status.st_ino))
    return status.st_blocks * 512

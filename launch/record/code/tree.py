"""A folder of code: which of its files are code, how much space they take, and how much may be copied."""

import os
from collections.abc import Iterable
from typing import NamedTuple

from launch.errors import Refusal

BLOCK = 4096
"""Bytes that the smallest file takes on a disk; a link counts as much."""


class Tree(NamedTuple):
    """A folder of code.

    Parameters
    ----------
    root : str
        The folder, with links resolved.
    files : tuple of str
        Files that are code; paths from the root.
    links : tuple of str
        Files and folders that are not code, and stay where they are.
    what : str
        Description for the plan.
    commit : str or None
        Commit of its repository.
    notes : tuple of str
        Further remarks, one phrase each.
    """

    root: str
    files: tuple[str, ...]
    links: tuple[str, ...]
    what: str
    commit: str | None = None
    notes: tuple[str, ...] = ()

    def sizes(self) -> dict[str, int]:
        """Return the bytes that each file and link takes on the disk."""
        sizes = dict.fromkeys(self.links, BLOCK)
        for name in self.files:
            sizes[name] = max(BLOCK, _size(os.path.join(self.root, name)))
        return sizes


def refuse_too_large(trees: Iterable[Tree], most_mib: float, advice: str = "") -> None:
    """Refuse to copy more than a snapshot may have.

    Raises
    ------
    Refusal
        If it is larger; the message names what is largest.
    """
    trees = list(trees)
    by_folder: dict[str, int] = {}
    for tree in trees:
        for name, size in tree.sizes().items():
            first = os.path.join(tree.root, name.partition("/")[0])
            by_folder[first] = by_folder.get(first, 0) + size
    total = sum(by_folder.values())
    if total <= most_mib * 2**20:
        return
    largest = sorted((name for name in by_folder if by_folder[name] > total / 20), key=lambda name: -by_folder[name])[
        :3
    ]
    raise Refusal(
        f"the code in {' and '.join(tree.root for tree in trees)} takes {_mib(total)} with each file as 4 KiB or more, "
        f"and a snapshot of it may take {most_mib:g} MiB"
        + "; most is in " * bool(largest)
        + ", ".join(f"{name} ({_mib(by_folder[name])})" for name in largest)
        + (
            ": have git ignore what is not code, which is then linked; or give "
            if any(tree.commit for tree in trees)
            else ": give "
        )
        + (advice or f"--snapshot-limit {total // 2**20 + 1} or --no-snapshot")
    )


def _mib(size: float) -> str:
    return f"{size / 2**20:.3g} MiB" if size < 2**30 else f"{size / 2**30:.3g} GiB"


def within(path: str, folder: str) -> bool:
    """Return whether a path is a folder, or something in it."""
    return path == folder or path.startswith(os.path.join(folder, ""))


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0

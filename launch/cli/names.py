"""Finds a run that is named on a command line: by its path from here, or by its name within the folder of the runs."""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from launch.cli import defaults
from launch.errors import Refusal, nearest


def short(path: Path) -> str:
    """Return a path as it is typed here: relative if it is below the working directory."""
    with contextlib.suppress(OSError):  # the working directory is gone
        if (here := Path.cwd()) in path.parents:
            return str(path.relative_to(here))
    return str(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """The option of all verbs that take names of runs."""

    runs: Path | None = None  # folder in which runs are looked for by name [runs]

    @property
    def folder(self) -> Path:
        """The folder of the runs."""
        return self.runs or defaults.runs()

    def path(self, word: str) -> Path:
        """Return the path for a word.

        Raises
        ------
        Refusal
            If it is a name, and nothing has that name, here or in the folder of the runs.
        """
        if not word:  # as from "$RUN" with a variable that is not set: Path("") would be the working directory
            raise Refusal(f"an empty name is given: name a run, or the folder of the runs ({self.folder})")
        path, inner = Path(word), self.folder / word
        if os.path.lexists(path) or path.is_absolute():
            return path
        # A missing run of a study can be named too.
        if os.path.lexists(inner) or "/" in word and os.path.isdir(inner.parent) and not os.path.isdir(path.parent):
            return inner
        if "/" not in word and os.path.isdir(self.folder):
            known = [name for name in os.listdir(self.folder) if name[0] != "."]
            raise Refusal(f"there is no {word!r} here, nor in the folder {self.folder}: {nearest(word, known)}")
        return path

    def paths(self, words: Iterable[str]) -> list[Path]:
        """Return the paths for several words; without words, the folder of the runs."""
        return [self.path(word) for word in words] or [self.folder]

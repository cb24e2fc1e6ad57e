"""Where a run lies that is named on a command line: by its path from here, or by its name within the folder of the
runs."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from launch.cli import defaults
from launch.errors import Refusal, nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What all verbs share that are told of which runs they speak."""

    runs: Path | None = None  # folder in which a name is looked for that is no path from here [runs]

    @property
    def folder(self) -> Path:
        """The folder of the runs."""
        return self.runs or defaults.runs()

    def path(self, word: str) -> Path:
        """The path that a word stands for.

        Raises
        ------
        Refusal
            If it is a name, and there is nothing of that name, neither here nor in the folder of the runs.
        """
        path, inner = Path(word), self.folder / word
        if os.path.lexists(path) or path.is_absolute():
            return path
        # A run that is missing from its study is named too.
        if os.path.lexists(inner) or "/" in word and os.path.isdir(inner.parent) and not os.path.isdir(path.parent):
            return inner
        if "/" not in word and os.path.isdir(self.folder):
            known = [name for name in os.listdir(self.folder) if name[0] != "."]
            raise Refusal(f"there is no {word!r} here, nor in the folder {self.folder}: {nearest(word, known)}")
        return path

    def paths(self, words: Iterable[str]) -> list[Path]:
        """Those of several words; without any, the folder of the runs."""
        return [self.path(word) for word in words] or [self.folder]

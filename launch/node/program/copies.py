"""The copies of the user's code in a rank, which replace the folders that they were made from.

The working directory does not change, so relative paths of the program lead where they did. The script and its imports
come from the copy, under the copy's own paths. Whatever reads a function's source from its file again (AutoGraph,
Triton, a traceback) then reads the code that runs.
"""

import importlib.util
import os
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec
from typing import Any

from launch import HOME


class Copies:
    """Folders of code and their copies.

    Parameters
    ----------
    pairs : sequence of (str, str)
        Each folder, with links resolved, and its copy.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._pairs = pairs
        self._real = [os.path.join(os.path.realpath(copy), "") for _, copy in pairs]

    def of(self, path: str) -> str | None:
        """Return the copy of a file or folder. None if it was not copied (it is linked or left out), or is itself in a
        copy."""
        folder, name = os.path.split(path)
        for whole in dict.fromkeys([os.path.join(os.path.realpath(folder), name), os.path.realpath(path)]):
            if os.path.join(whole, "").startswith(tuple(self._real)):
                return None
            for (root, copy), real in zip(self._pairs, self._real):
                if whole != root and not whole.startswith(os.path.join(root, "")):
                    continue
                found = os.path.normpath(os.path.join(copy, os.path.relpath(whole, root)))
                above = found if os.path.isdir(found) else os.path.dirname(found)
                if os.path.exists(found) and os.path.join(os.path.realpath(above), "").startswith(real):
                    return found
        return None

    def file(self, word: str) -> str:
        """Return the copy of a script; the word itself if there is none."""
        return self.of(word) or word if word != "-m" else word

    def path(self, folders: Iterable[str]) -> list[str]:
        """Return the folders in which Python looks for modules, with those that have copies replaced by their
        copies."""
        found = []
        for folder in folders:
            if copy := self.of(folder) if folder else None:
                found.append(copy)
                continue
            # A repository that is itself a package is found from the folder that it lies in.
            packages = [os.path.dirname(copy) for root, copy in self._pairs if os.path.dirname(root) == folder]
            found += [*packages[:1], folder]
        return found

    def take_packages(self) -> None:
        """Import the toolkit's own workloads from the copy, if there is one."""
        package: Any = sys.modules["workloads"]
        for place, folder in enumerate(package.__path__):
            if copy := self.of(folder):
                package.__path__[place] = copy
                _for_children(os.path.dirname(copy))

    def find_modules(self) -> None:
        """Import modules from the copies however they are found, including by an editable install or a path added
        later."""
        if self._pairs:
            sys.meta_path.insert(0, self)  # type: ignore[arg-type]

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the module that the other finders find under this name, taken from its copy if it has one; imports
        call this."""
        # A package finds its modules by its own path. The toolkit itself stays the one that this rank runs.
        if path is not None or name in ("launch", "profiling", "rankloop"):
            return None
        finders = [each for each in sys.meta_path if each is not self and hasattr(each, "find_spec")]
        spec = next((spec for each in finders if (spec := each.find_spec(name, path, target))), None)
        if spec is None or not (spec.origin or spec.submodule_search_locations):
            return spec
        inner = spec.submodule_search_locations and [self.of(each) or each for each in spec.submodule_search_locations]
        copy = self.of(spec.origin) if spec.origin and os.path.isabs(spec.origin) else None
        if copy is None or copy == spec.origin:
            return spec
        _for_children(os.path.dirname(os.path.dirname(copy) if inner else copy))
        return importlib.util.spec_from_file_location(name, copy, submodule_search_locations=inner)


def _for_children(folder: str) -> None:
    """Put a folder at the end of the path, before only the toolkit's: processes of multiprocessing get this path."""
    if folder not in sys.path:
        sys.path.insert(sys.path.index(HOME) if HOME in sys.path else len(sys.path), folder)

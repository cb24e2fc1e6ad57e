"""Containers: what of this machine the ranks see in one, and which file or name the image is."""

import os
from collections.abc import Iterable
from pathlib import Path

from launch.errors import Refusal


def binds(folders: Iterable[str | Path]) -> tuple[str, ...]:
    """The folders that the ranks see, each at its own place; those within others are left out.

    Of what is not there yet, the folder is taken in which it will be made. A path with links in it is bound at both of
    its names: a process that starts there knows it by either.

    Raises
    ------
    Refusal
        If a path has a character that the options of the runtimes cannot say.
    """
    present = {
        next(path for path in (folder, *folder.parents) if path.exists())
        for folder in map(Path.absolute, map(Path, folders))
    }
    every = {name for folder in present for name in (os.path.abspath(folder), os.path.realpath(folder))} - {"/"}
    for name in sorted(every):
        if bad := next((character for character in ",:" if character in name), None):
            raise Refusal(f"--container: {name!r} cannot be seen in it, as there is a {bad!r} in the name: rename it")
    return tuple(sorted(name for name in every if not any(str(above) in every for above in Path(name).parents)))


def image(text: str, runtime: str) -> str:
    """The image as the job names it: a file by its whole path, what comes from a registry as it is.

    Apptainer takes everything without ``://`` for a file; pyxis, what begins with ``.`` or ``/``.
    """
    is_file = text.startswith((".", "/", "~")) if runtime == "pyxis" else "://" not in text
    return os.path.abspath(os.path.expanduser(text)) if is_file else text

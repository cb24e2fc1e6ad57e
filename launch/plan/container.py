"""Containers: which folders of this machine the ranks see in one, and the file or name of the image."""

import os
from collections.abc import Iterable
from pathlib import Path

from launch.errors import Refusal


def binds(folders: Iterable[str | Path]) -> tuple[str, ...]:
    """Return the folders that the ranks see, each under its own path. Folders inside others are left out.

    For a folder that does not exist yet, the one in which it will be made is taken. A path that contains links is bound
    under both its names, as a process that starts there may know it by either.

    Raises
    ------
    Refusal
        If a path has a character that the options of the runtimes cannot express.
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
    """Return the image as the job names it: a file by its absolute path, an image from a registry as given.

    Apptainer takes everything without ``://`` as a file; pyxis and CSCS's engine take what begins with ``.`` or ``/``;
    Podman knows images only by name.
    """
    if runtime == "podman-hpc":
        return text
    is_file = text.startswith((".", "/", "~")) if runtime in ("pyxis", "edf") else "://" not in text
    return os.path.abspath(os.path.expanduser(text)) if is_file else text

"""Removes a run. A half-removed run never looks like a run, and what a killed removal leaves is removed later."""

import os
import re
import shutil
from pathlib import Path

from launch.errors import Refusal


def remove(folder: Path) -> None:
    """Remove a run.

    Raises
    ------
    Refusal
        If it cannot be removed, or only in part.
    """
    hidden = folder.with_name(f".{folder.name}.removed.{os.urandom(4).hex()}")
    try:
        folder.rename(hidden)  # so that a half-removed run never looks like a run
    except OSError as error:
        raise Refusal(f"{folder} cannot be removed ({error.strerror})") from None
    _delete(hidden)


def finished(*places: Path) -> bool:
    """Remove what a killed removal of this run has left; return whether there was nothing else of the run."""
    halves = [half for place in places for half in _halves(place)]
    for half in halves:
        _delete(half)
        print(f"removed: {half}, which an earlier rm left behind", flush=True)
    return bool(halves) and not any(map(os.path.lexists, places))


def _halves(place: Path) -> list[Path]:
    own = re.compile(rf"\.{re.escape(place.name)}\.removed\.[0-9a-f]{{8}}")
    try:
        return [place.with_name(name) for name in os.listdir(place.parent) if place.name and own.fullmatch(name)]
    except OSError:
        return []


def _delete(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        if os.path.lexists(folder):
            shutil.rmtree(folder)  # again, to get the reason
    except FileNotFoundError:  # another rm is removing it
        pass
    except OSError as error:
        raise Refusal(
            f"{error.filename} cannot be removed ({error.strerror}); what is left of the run is in {folder}: "
            "once that is put right, the same rm removes the rest"
        ) from None

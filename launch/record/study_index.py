"""study.json, the index of a study: which run is which point."""

from pathlib import Path
from typing import Any

from launch.errors import Refusal
from launch.record.files import read_json

INDEX = "study.json"
"""The file that makes a folder a study."""


def is_study(folder: Path) -> bool:
    """Whether a folder is that of a study."""
    return (folder / INDEX).is_file()


def read(folder: Path) -> dict[str, Any]:
    """The index of a study; its ``runs`` have ``run``, ``nodes``, ``values`` and ``repeat`` each.

    Raises
    ------
    Refusal
        If there is none, or it has another shape.
    """
    index = read_json(folder / INDEX)
    if index is None:
        raise Refusal(f"{folder} is not a study: it has no {INDEX}; give a folder that python -m launch has made")
    runs = index.get("runs") if isinstance(index, dict) else None
    if not isinstance(runs, list) or not isinstance(index.get("workload"), str) or not all(map(_is_entry, runs)):
        raise Refusal(f"{folder / INDEX} is damaged (it is not the index of a study): restore it, or repeat the study")
    return index


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("run"), str)
        and entry["run"] not in ("", ".", "..")
        and "/" not in entry["run"]
        and isinstance(entry.get("values"), dict)
        and all(isinstance(entry.get(key), int) for key in ("nodes", "repeat"))
    )

"""Reads a TOML file of the user's."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from launch.errors import Refusal


def read(path: Path, parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    """Return the content of a TOML file in UTF-8, with or without a byte order mark.

    Raises
    ------
    FileNotFoundError
        If there is nothing of that name.
    Refusal
        If it is not a regular file (reading a pipe that nobody writes to would block), or cannot be read as TOML.
    """
    why: object = "not a file"
    try:
        if path.is_file() or not path.exists():
            return tomllib.loads(path.read_text(encoding="utf-8-sig"), parse_float=parse_float)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or error
    raise Refusal(f"{path} cannot be read as TOML ({why}): fix it and try again")

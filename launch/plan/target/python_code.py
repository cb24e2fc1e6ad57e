"""Reads a file as Python, or refuses it with its own error."""

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from launch.errors import Refusal


def python_code(path: Path) -> types.CodeType:
    """Compile a script; return its code.

    Raises
    ------
    Refusal
        If it is not Python, or cannot be read.
    """
    return refusing_bad_code(path, lambda: compile(path.read_bytes(), str(path), "exec", dont_inherit=True))


def refusing_bad_code(source: Path, read: Callable[[], Any]) -> Any:
    """Return the result of a function that reads a Python file.

    Raises
    ------
    Refusal
        If it is not Python, or cannot be read.
    """
    try:
        return read()
    except SyntaxError as error:
        raise Refusal(f"{source}, line {error.lineno}: {error.msg}; fix it and try again") from None
    except (ValueError, OSError) as error:  # null bytes; no permission
        raise Refusal(f"{source} cannot be read as Python ({error}): fix it and try again") from None
    except (RecursionError, MemoryError):
        raise Refusal(f"{source} is nested too deeply to be compiled: fix it and try again") from None

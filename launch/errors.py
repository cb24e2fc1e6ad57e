"""The errors that a user can fix. Each is one line and has an exit status."""

import os
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

from launch import HOME

INSTALL = "python3 -m venv .venv && .venv/bin/pip install uv==0.13.9 && .venv/bin/uv sync --inexact"


class Refusal(Exception):
    """Something the user gave cannot be done. The message is one line: what was given, what is possible, what to do."""

    status = 2


class SubmissionRefused(Refusal):
    """The scheduler refused, or did not answer."""

    status = 3

    def __init__(self, message: str, may_be_queued: bool = False) -> None:
        super().__init__(message)
        self.may_be_queued = may_be_queued  # without an answer, the job may have been accepted all the same


def program() -> str:
    """The command that the user has typed: rankloop, or python -m launch, which has the same verbs."""
    package = sys.argv[0].rpartition("/")[0].rpartition("/")[2]
    return "python -m launch" if sys.argv[0].endswith("__main__.py") and package != "rankloop" else "rankloop"


def command(words: str, *more: object) -> str:
    """A command for the user to type: a verb with its arguments, and further words, quoted where a shell needs it.

    >>> command("resume", "runs/a b")
    "rankloop resume 'runs/a b'"
    """
    return " ".join([program(), words, *(shlex.quote(str(word)) for word in more)])


def nearest(given: str, known: Iterable[str]) -> str:
    """A phrase that offers the nearest of the known names, or lists them all when none is near.

    Parameters
    ----------
    given : str
        What the user wrote.
    known : iterable of str
        What would have been understood.

    Returns
    -------
    str
        ``did you mean 'x'?`` or ``known: a, b, c``.
    """
    known = sorted(known)
    return near(given, known) or f"known: {', '.join(known) or 'none'}"


def near(given: str, known: Iterable[str]) -> str:
    """Like `nearest`, but empty when none is near. For lists that hold only some of the names that may be meant."""
    import difflib

    close = difflib.get_close_matches(given, sorted(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else ""


def page(name: str) -> str:
    """The place of a documentation page, in parentheses; empty if there is none, as in a wheel, which has no docs/."""
    return f" (docs/{name})" if os.path.isfile(os.path.join(HOME, "docs", name)) else ""


def run(main: Callable[[Sequence[str]], None]) -> NoReturn:
    """Run the main of a module with the words after its name, and end the process. A refusal is printed as its line,
    and gives its exit status."""
    try:
        main(sys.argv[1:])
    except Refusal as refusal:
        sys.exit(print(f"error: {refusal}", file=sys.stderr) or refusal.status)
    sys.exit(0)

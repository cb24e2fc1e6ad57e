"""The errors that a user can fix: one line each, an exit status each."""

import importlib.util
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
    """The scheduler said no, or nothing."""

    status = 3

    def __init__(self, message: str, may_be_queued: bool = False) -> None:
        super().__init__(message)
        self.may_be_queued = may_be_queued  # nobody answered, so the job may have been taken all the same


def program() -> str:
    """The command that the user has typed: rankloop, or python -m launch, which has the same verbs."""
    package = sys.argv[0].rpartition("/")[0].rpartition("/")[2]
    return "python -m launch" if sys.argv[0].endswith("__main__.py") and package != "rankloop" else "rankloop"


def command(words: str, *more: object) -> str:
    """A command for the user to type: a verb and what stands behind it, and words that are quoted where a shell needs
    it.

    >>> command("resume", "runs/a b")
    "rankloop resume 'runs/a b'"
    """
    return " ".join([program(), words, *(shlex.quote(str(word)) for word in more)])


def refuse_without(packages: Iterable[str]) -> None:
    """Refuse what cannot run for want of packages, before anything is started.

    Parameters
    ----------
    packages : iterable of str
        Names as they are imported. Nothing is imported.

    Raises
    ------
    Refusal
        If one is missing; it says how to install it.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise Refusal(
            f"{', '.join(missing)} cannot be imported by {sys.executable}: fix it: {INSTALL}; see {command('doctor')}"
        )


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
    """As `nearest`, but empty when none is near: of names that are only a few of those that may be meant."""
    import difflib

    close = difflib.get_close_matches(given, sorted(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else ""


def page(name: str) -> str:
    """Where a page of the documentation is, in parentheses; empty where there is none, as a wheel has no docs/."""
    return f" (docs/{name})" if os.path.isfile(os.path.join(HOME, "docs", name)) else ""


def run(main: Callable[[Sequence[str]], None]) -> NoReturn:
    """Run the main of a module on the words behind its name, and end the process; a refusal becomes its line and exit
    status."""
    try:
        main(sys.argv[1:])
    except Refusal as refusal:
        sys.exit(print(f"error: {refusal}", file=sys.stderr) or refusal.status)
    sys.exit(0)

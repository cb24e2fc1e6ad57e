"""The errors that a user can fix. Each is one line and has an exit status."""

import os
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

from launch import HOME


class Refusal(Exception):
    """Something the user gave cannot be done. The message is one line: what was given, what is possible, what to do."""

    status = 2


class SubmissionRefused(Refusal):
    """The scheduler refused, or did not answer."""

    status = 3

    def __init__(self, message: str, may_be_queued: bool = False) -> None:
        super().__init__(message)
        self.may_be_queued = may_be_queued  # without an answer, the job may have been accepted all the same


def one_line(error: BaseException) -> str:
    """Return the message of an error on one line; its class if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def program() -> str:
    """Return the command that the user has typed: rankloop, or python -m launch, which has the same verbs."""
    package = sys.argv[0].rpartition("/")[0].rpartition("/")[2]
    return "python -m launch" if sys.argv[0].endswith("__main__.py") and package != "rankloop" else "rankloop"


def command(words: str, *more: object) -> str:
    """Return a command for the user to type: a verb with its arguments, and further words, quoted where a shell needs
    it.

    >>> command("resume", "runs/a b")
    "rankloop resume 'runs/a b'"
    """
    return " ".join([program(), words, *(shlex.quote(str(word)) for word in more)])


def nearest(given: str, known: Iterable[str]) -> str:
    """Return a phrase that offers the nearest of the known names, or lists them all when none is near.

    Parameters
    ----------
    given : str
        The name that the user wrote.
    known : iterable of str
        The names that would have been understood.

    Returns
    -------
    str
        ``did you mean 'x'?`` or ``known: a, b, c``.
    """
    known = sorted(known)
    return near(given, known) or f"known: {', '.join(known) or 'none'}"


def near(given: str, known: Iterable[str]) -> str:
    """Return what `nearest` returns, but an empty text when none is near, for lists that hold only some of the names
    that may be meant.

    A name is near if a few typing errors lead to it, or if it has all words of what was given, or the reverse. Letters
    in common are not enough: whoever types ``remove`` does not mean ``resume``.

    >>> near("--node", ["--nodes", "--mode"]), near("--gpus", ["--gpus-per-node", "--runs"]), near("remove", ["resume"])
    ("did you mean '--nodes'?", "did you mean '--gpus-per-node'?", '')
    """
    plain = _plain(given)
    words = set(plain.split("-"))
    found = []
    for name in sorted(known):
        other = _plain(name)
        shorter, others = min(len(plain), len(other)), set(other.split("-"))
        begins = plain.startswith(other) or other.startswith(plain) or other.endswith(f"/{plain}")
        if (errors := _typing_errors(plain, other)) <= (shorter > 2) + (shorter > 5) + (shorter > 9):
            found.append((0, errors, not begins, name))
        elif shorter > 2 and (words <= others or others <= words) or shorter > 3 and begins:
            found.append((1, not begins, False, name))
    return f"did you mean {min(found)[-1]!r}?" if found else ""


def _plain(name: str) -> str:
    return name.lstrip("-").replace("_", "-").lower()


def _typing_errors(one: str, other: str) -> int:
    """Return how many letters are missing, too many, wrong, or exchanged with their neighbours."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one):
        now = [row + 1]
        for column, wanted in enumerate(other):
            now.append(min(last[column] + (letter != wanted), last[column + 1] + 1, now[column] + 1))
            if row and column and letter == other[column - 1] and one[row - 1] == wanted:
                now[-1] = min(now[-1], before[column - 1] + 1)
        before, last = last, now
    return last[-1]


def page(name: str) -> str:
    """Return the place of a documentation page, in parentheses; empty if there is none, as in a wheel, which has no
    docs/."""
    return f" (docs/{name})" if os.path.isfile(os.path.join(HOME, "docs", name)) else ""


def run(main: Callable[[Sequence[str]], int | None]) -> NoReturn:
    """Run the main of a module with the words after its name, and end the process with the status that it returns. A
    refusal is printed as its line, and gives its exit status."""
    try:
        status = main(sys.argv[1:])
    except Refusal as refusal:
        sys.exit(print(f"error: {refusal}", file=sys.stderr) or refusal.status)
    sys.exit(status)

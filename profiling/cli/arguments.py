"""Command-line words of a verb: its positional words, and the options of a dataclass."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from launch.errors import Refusal
from launch.plan import options

MOST = 10**12
"""The largest number that is taken for one of nodes or workers."""


def parse(cls: type, argv: Sequence[str], positionals: Sequence[str]) -> tuple[list[Path], Any]:
    """Read the words behind a verb.

    Parameters
    ----------
    cls : type
        Dataclass of the options.
    argv : sequence of str
        Positional words and options, in any order.
    positionals : sequence of str
        Names of the positional words, which are files.

    Returns
    -------
    tuple
        The files, and an instance of ``cls``.

    Raises
    ------
    Refusal
        A word too many or too few, an unknown option, a wrong value.
    """
    chosen, words = options.with_words(cls, argv, cls.__module__.rpartition(".")[2])
    if len(words) != len(positionals):
        raise Refusal(
            f"{' '.join(words) or 'nothing'} was given, but {' '.join(positionals)} is needed: give {len(positionals)} file{'s' * (len(positionals) > 1)}"
        )
    return [Path(word) for word in words], chosen


def counts(option: str, text: str) -> list[int]:
    """The numbers of ``64,256``, rising, each once.

    Parameters
    ----------
    option : str
        Whose value it is, for the refusal.
    text : str
        What was given.

    Raises
    ------
    Refusal
        What is no whole number of 1 or more.
    """
    numbers = []
    for word in text.split(","):
        if not word.strip().isdecimal() or not 1 <= int(word) <= MOST:
            raise Refusal(f"{option} has {word!r}: give whole numbers of 1 or more, as in 64,256")
        numbers.append(int(word))
    return sorted(set(numbers))

"""Command-line words of a verb: its positional words, and the options of a dataclass."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from launch.errors import Refusal
from launch.plan import options

MOST = 10**12
"""The largest number that is taken for one of nodes or workers."""


class _Parser(argparse.ArgumentParser):
    """argparse, but an error is a Refusal."""

    def error(self, message: str) -> NoReturn:
        raise Refusal(message.replace("argument ", "option ", 1))


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
    parser = _Parser(add_help=False, allow_abbrev=False)
    options.add_to(parser, cls)
    # Each option takes exactly one word, so that what is left over can be told apart from options that are unknown.
    given, rest = parser.parse_known_args(list(argv))
    unknown = [word for word in rest if word.startswith("-")]
    options.refuse_unknown(unknown, cls, "")
    words = [word for word in rest if not word.startswith("-")]
    if len(words) != len(positionals):
        raise Refusal(
            f"{' '.join(words) or 'nothing'} was given, but {' '.join(positionals)} is needed: give {len(positionals)} file{'s' * (len(positionals) > 1)}"
        )
    return [Path(word) for word in words], options.build(cls, vars(given), cls.__module__.rpartition(".")[2])


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

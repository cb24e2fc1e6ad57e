"""The regular expressions of figures of merit. Checks them, and keeps them from blocking a search."""

import contextlib
import functools
import re
import signal
import threading
from collections.abc import Iterator

from launch.errors import Refusal
from launch.plan import typed

_PROBES = (b"1" * 64 + b"!", b"a" * 64 + b"!", b" " * 64 + b"!", b"1.0 " * 32 + b"!", b"-" * 64 + b"!")
_PROBE_S = 0.5


@functools.cache
def compiled(name: str, pattern: str) -> re.Pattern[bytes]:
    """Return the pattern of a figure, for the bytes that ranks print.

    Raises
    ------
    Refusal
        If it is not a regular expression, or does not say which part of it is the number.
    """
    said = f"--fom {name}={typed.shown(pattern)}"
    try:
        made = re.compile(pattern.encode(errors="surrogateescape"))
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        raise Refusal(
            f"{said} is not a regular expression ({error}): fix it; backslashes and quotes may need quotes in the shell"
        ) from None
    if made.groups - ("unit" in made.groupindex) != 1 and "value" not in made.groupindex:
        raise Refusal(
            f"{said} has {made.groups or 'no'} groups, and the number is one: put brackets round it, as in "
            "([0-9.eE+-]+); others are (?:...), and of several the one called (?P<value>...) counts"
        )
    return made


def refuse_endless(name: str, pattern: re.Pattern[bytes]) -> None:
    """Refuse a pattern that backtracks so much on short lines that it could not search what ranks print."""
    try:
        with within(_PROBE_S):
            for probe in _PROBES:
                pattern.search(probe)
    except TimeoutError:
        raise Refusal(
            f"--fom {name}={typed.shown(pattern.pattern.decode(errors='replace'))} takes forever on lines of a "
            "hundred letters, as a repetition in it is repeated: write it without, as ([0-9.]+) in place of ([0-9.]+)+"
        ) from None


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Interrupt the block after this time, even in the middle of a regular expression.

    Only the main thread of a process receives signals. In another thread the block has no limit.

    Raises
    ------
    TimeoutError
        If it was interrupted.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def over(number: int, frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, over)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before or signal.SIG_DFL)


def group(pattern: re.Pattern[bytes]) -> int:
    """Return which group of a pattern is the number."""
    if "value" in pattern.groupindex:
        return pattern.groupindex["value"]
    return next(number for number in range(1, pattern.groups + 1) if number != pattern.groupindex.get("unit"))


def literal(pattern: str) -> bytes:
    """Return the longest plain text that is certain to be in every match of a pattern. If that is missing from a text,
    no search is needed."""
    if re.search(r"\(\?[aiLmsux-]*[:)]", pattern.replace("(?:", "(")):  # flags may change which letters match
        return b""
    runs, run, depth = [], "", 0
    for part in re.findall(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{[0-9,]+\}|.", pattern, re.DOTALL):
        plain = part[-1] if part[0] == "\\" and not part[-1].isalnum() else part if part not in ".^$*+?|()" else ""
        if part == "|" and not depth:
            return b""
        if part in ("*", "?") or part[0] == "{" and len(part) > 1:  # the letter before this part is optional
            run = run[:-1]
        depth += (part == "(") - (part == ")")
        if len(plain) == 1 and not depth:
            run += plain
        else:
            runs, run = [*runs, run], ""
    return max([*runs, run], key=len).encode(errors="surrogateescape")

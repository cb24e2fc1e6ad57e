"""How far something is that takes long: on a terminal and in a log."""

import io
import itertools
import sys

import pytest

from profiling import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "lines", "cleared"), [(io.StringIO, 5, False), (Terminal, 30, True)])
def test_a_line_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO], lines: int, cleared: bool
):
    """Of 30 things that take 10 s each."""
    monkeypatch.setattr(sys, "stderr", stream())
    monkeypatch.setenv("TERM", "xterm")
    clock = itertools.count(0, 10)
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    assert list(progress.through(range(30), "runs read")) == list(range(30))
    said = sys.stderr.getvalue()
    assert said.count("runs read: ") == lines and "of 30, " in said and " a minute, about " in said
    assert said.endswith("\x1b[J") is cleared


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_what_is_quick_says_nothing(monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO]):
    monkeypatch.setattr(sys, "stderr", stream())
    assert list(progress.through("abc", "runs read")) == ["a", "b", "c"] and not sys.stderr.getvalue()
    assert not list(progress.through((), "runs read"))

"""What any program may use within a rank: a recorder for its steps, requests to stop, its checkpoints, its results.

    for batch in rankloop.steps(loader, examples=64):    # a line per step: when, how long, how many examples
        train(batch)
        if rankloop.stop_requested():                    # the time limit is near, or the job is preempted
            save(rankloop.checkpoints / "state.pt")
            sys.exit(rankloop.STOPPED)
    rankloop.result(accuracy=0.97)                       # goes into result.json

Without the launcher all of it works, and records nothing. It needs Python 3.9 and no other package.

In the Python in which the toolkit is installed it also starts studies and reads them (profiling/api.py):

    study = rankloop.launch("train.py", nodes=[1, 2, 4], repeats=3)
    study.wait().scaling()
"""

from __future__ import annotations

import math
import os
import time

from rankloop import _pulse, _recorder, _stop

TYPE_CHECKING = False  # importing what only annotations need takes time
if TYPE_CHECKING:
    import contextlib
    import pathlib
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

__all__ = ["STOPPED", "checkpoints", "phase", "rank", "result", "size", "step", "steps", "stop_requested"]

STOPPED = 75
"""Exit status of a program that was asked to stop and has saved its state: the run is not done, and can continue."""

_RANKS = (
    ("LAUNCH_RANK", "LAUNCH_SIZE"),
    ("RANK", "WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("HOROVOD_RANK", "HOROVOD_SIZE"),
)
rank, size = next(
    (
        (int(os.environ[r]), int(os.environ[s]))
        for r, s in _RANKS
        if os.environ.get(r, "").isdecimal() and s in os.environ
    ),
    (0, 1),
)

checkpoints: pathlib.Path
"""Folder of the run's checkpoints, the same in all its attempts. Without the launcher it is the folder checkpoints,
made on use."""


def steps(
    loader: Iterable[Any], examples: int | Callable[[Any], int] | None = None, after: int | None = None
) -> Iterable[Any]:
    """Return the batches of a loader; each pass of the loop over them is recorded as a step.

    A step lasts from the wait for its batch to the end of the loop's body. A step that ends by ``break`` or an error is
    not recorded.

    Parameters
    ----------
    loader : iterable
        Source of the batches.
    examples : int or function, optional
        Examples per batch of this rank, or a function that gives them for a batch, such as ``len``.
    after : int, optional
        Number of the last step before this loop, for example that of a checkpoint; by default counting continues.

    Examples
    --------
    >>> for batch in steps([[1, 2], [3]], examples=len):
    ...     print(sum(batch))
    3
    3
    """
    return _Steps(loader, examples, after)


def step(examples: int | None = None, number: int | None = None) -> _Step:
    """Record a ``with`` block as a step, unless an error ends it.

    Parameters
    ----------
    examples : int, optional
        Examples that this rank computes in the step.
    number : int, optional
        Number of the step; by default steps are counted from 1.

    Examples
    --------
    >>> with step(examples=64):
    ...     loss = 0.25
    """
    return _Step(_recorder.current(), examples, number)


def phase(name: str) -> contextlib.AbstractContextManager[None]:
    """Mark a ``with`` block as something other than a step, such as an evaluation. For --hang-timeout, CPU use,
    reading, writing and output then count as signs of life too.

    >>> with phase("evaluation"):
    ...     accuracy = 0.97
    """
    return _pulse.phase(str(name))


def result(**metrics: float) -> None:
    """Record figures of the run. Of each figure its result.json holds the last value of the lowest rank that has
    recorded it.

    >>> result(accuracy=0.97, loss=0.1)
    """
    recorder = _recorder.current()
    if recorder is not None:
        figures = {name: _figure(name, value) for name, value in metrics.items()}
        recorder.note({"metrics": {name: value for name, value in figures.items() if value is not None}})


def stop_requested() -> bool:
    """Return whether to save and leave now: a time limit is near, or a signal has asked for it (SIGTERM, SIGUSR2).

    The first call, in the main thread, tells the launcher that this program can be asked. Ranks may see the request
    some steps apart, so ranks that wait for each other have to agree on it.

    >>> if stop_requested():
    ...     raise SystemExit(STOPPED)
    """
    return _stop.requested(rank)


def _figure(name: str, value: Any) -> float | bool | None:
    try:
        figure = float(value) if not isinstance(value, (str, bytes)) else math.nan
    except (TypeError, ValueError, OverflowError, RuntimeError):
        figure = math.nan
    if math.isfinite(figure):
        return value if isinstance(value, int) and type(value) in (bool, int) else figure
    try:
        shown = repr(value)[:60]
    except ValueError:  # a number with more digits than Python writes
        shown = "..."
    _recorder.warn(f"result {name}={shown} is not a finite number: it is left out")
    return None


class _Steps:
    def __init__(self, loader: Iterable[Any], examples: Any, after: int | None) -> None:
        self._loader, self._examples, self._after = loader, examples, after

    def __len__(self) -> int:
        return len(self._loader)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        recorder = _recorder.current()
        return iter(self._loader) if recorder is None else self._recorded(recorder)

    def _recorded(self, recorder: _recorder.Recorder) -> Iterator[Any]:
        if not recorder.is_open():
            yield from self._loader
            return
        after = _recorder.number_of(self._after)
        if after is not None:
            recorder.step = after
        batches, examples = iter(self._loader), self._examples
        each = examples if callable(examples) else None
        count = None if each else _recorder.count(examples)
        now, clock, write = time.time, time.perf_counter, recorder.write
        with _pulse.phase("steps"):
            while True:
                before, start, begin = recorder.written, now(), clock()
                try:
                    batch = next(batches)
                except StopIteration:
                    return
                waited = clock() - begin
                if each:
                    count = _recorder.count(examples, batch)
                yield batch
                write(before, start, clock() - begin, waited, count)


class _Step:
    __slots__ = ("_before", "_begin", "_examples", "_number", "_recorder", "_start")

    def __init__(self, recorder: _recorder.Recorder | None, examples: Any, number: int | None) -> None:
        self._recorder, self._examples, self._number = recorder, examples, number

    def __enter__(self) -> None:
        if self._recorder is not None:
            self._before = self._recorder.written
            if not self._recorder.is_open():
                self._recorder = None
        self._start, self._begin = time.time(), time.perf_counter()

    def __exit__(self, kind: Any, *_: Any) -> None:
        seconds, recorder = time.perf_counter() - self._begin, self._recorder
        if recorder is not None and kind is None:
            number = _recorder.number_of(self._number)
            if number is not None:
                recorder.step = number - 1
            recorder.write(self._before, self._start, seconds, None, _recorder.count(self._examples))


def __getattr__(name: str) -> Any:
    if name in ("Refusal", "Rows", "Study", "launch"):  # in the toolkit, which ranks may not have, and need not import
        from rankloop import _toolkit

        return globals().setdefault(name, getattr(_toolkit.api(name), name))
    if name != "checkpoints":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pathlib

    run = os.environ.get("LAUNCH_RUN")
    folder = pathlib.Path(run, "checkpoints") if run else pathlib.Path("checkpoints")
    folder.mkdir(exist_ok=True)
    return globals().setdefault("checkpoints", folder)

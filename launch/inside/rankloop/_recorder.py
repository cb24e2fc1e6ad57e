"""Writes lines of steps/. A crash loses at most those of the last second, and recording a step takes some
microseconds."""

from __future__ import annotations

import os
import sys
import time
from _thread import RLock, allocate_lock, get_ident
from collections import deque

from rankloop import _pulse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

INTERVAL = 1.0  # seconds that a line waits at most


class Recorder:
    """Appends to the file that the ranks of a node share: whole lines, on a descriptor with O_APPEND.

    Only the thread that has made the recorder records steps, one at a time.
    """

    def __init__(self, path: str, rank: int, attempt: int) -> None:
        self.step = 0  # number of the last step
        self.written = 0  # number of steps recorded so far
        self._path, self._rank, self._attempt = path, rank, attempt
        self._prefix = f'{{"rank":{rank},"attempt":{attempt},"step":'
        self._lines: deque[str] = deque()
        self._thread = get_ident()
        self._closed = self._failed = False
        self._pulse = _pulse.current()
        self._lock, self._flushed = RLock(), time.perf_counter()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            self._lines.append("\n")  # a kill has cut the last line short, which must not damage the next one
        import atexit

        atexit.register(self.close)
        self._start_flushing()

    def is_open(self) -> bool:
        """Return whether a step that begins now, in this thread, can be recorded."""
        if self._closed:
            self._warn_of_end("step")
        elif get_ident() != self._thread:
            warn("a step in another thread than the first one's is not recorded: record in one thread")
        else:
            return True
        return False

    def write(self, before: int, start: float, seconds: float, waited: float | None, examples: int | None) -> None:
        """Record a step; ``before`` is how many had been written when it began."""
        if before != self.written:
            warn("a step in which another was recorded is not recorded itself: use steps() or step(), one at a time")
            return
        self.written += 1
        self.step += 1
        line = f'{self._prefix}{self.step},"start":{start:.6f},"seconds":{seconds:.7f}'
        if waited is not None:
            line += f',"input_seconds":{waited:.7f}'
        if examples is not None:
            line += f',"examples":{examples}'
        self._lines.append(line + "}\n")
        if self._pulse:
            self._pulse.beat(self.step)
        if time.perf_counter() - self._flushed >= INTERVAL:  # also if no thread could be started
            self.flush()

    def note(self, values: dict[str, Any]) -> None:
        """Record something other than a step, at once."""
        if self._closed:
            self._warn_of_end("result")
            return
        import json

        self._lines.append(json.dumps({"rank": self._rank, "attempt": self._attempt, **values}) + "\n")
        self.flush()

    def flush(self) -> None:
        """Hand the waiting lines to the operating system."""
        with self._lock:
            self._flushed, lines = time.perf_counter(), []
            while self._lines:  # the other thread may add to them meanwhile
                lines.append(self._lines.popleft())
            data = "".join(lines).encode()
            try:
                while data and not self._closed:
                    data = data[os.write(self._descriptor, data) :]
            except OSError as error:
                self._closed = self._failed = True
                warn(f"steps are no longer recorded in {self._path}: {error.strerror}")

    def close(self) -> None:
        """Flush, and record nothing more."""
        self.flush()
        self._closed = True

    def disown(self) -> None:
        """Record nothing more in a forked process: waiting lines belong to its parent, and so does the lock."""
        self._lock, self._closed = RLock(), True
        self._lines.clear()

    def _warn_of_end(self, what: str) -> None:
        if not self._failed:  # otherwise the user has been told already
            warn(f"a {what} after the end of the program is not recorded")

    def _start_flushing(self) -> None:
        import threading

        def flush() -> None:
            while not self._closed:
                time.sleep(INTERVAL / 2)
                if self._lines and time.perf_counter() - self._flushed >= INTERVAL / 2:
                    self.flush()

        try:
            threading.Thread(target=flush, name="rankloop", daemon=True).start()
        except RuntimeError:  # the limit on threads: waiting lines are then written with the next step
            pass


_current = None  # type: Recorder | bool | None  # None: not made yet; False: nothing is recorded in this process
_making = allocate_lock()


def current() -> Recorder | None:
    """Return the recorder of this process, made on first use; None if the launcher has not started it."""
    global _current
    if _current is None:
        with _making:
            if _current is None:
                _current = _make() or False
    return _current or None  # type: ignore[return-value]


def _make() -> Recorder | None:
    own_file = os.environ.get("LAUNCH_STEPS")
    if not own_file:
        return None
    folder = os.path.dirname(own_file)
    try:
        rank, node, attempt = (int(os.environ[f"LAUNCH_{name}"]) for name in ("RANK", "NODE", "ATTEMPT"))
        if os.path.exists(os.path.join(os.path.dirname(folder), "result.json")):
            warn(f"the run {os.path.dirname(folder)} is over: nothing is recorded")
            return None
        return Recorder(os.path.join(folder, f"node{node}.jsonl"), rank, attempt)
    except (KeyError, ValueError, OSError) as error:
        warn(f"nothing is recorded in {folder}: {error}")
        return None


def _forget() -> None:
    global _current, _making
    if isinstance(_current, Recorder):
        _current.disown()
    _current, _making = None, allocate_lock()


os.register_at_fork(after_in_child=_forget)


def count(examples: Any, *batch: Any) -> int | None:
    """Return the number of examples in a step, as given or as a function returns it for a batch; None if that is not a
    number."""
    if examples is None or examples.__class__ is int and examples >= 0:
        return examples
    try:
        number: Any = examples(*batch) if batch else examples
        if isinstance(number, (str, bytes)):  # in which % means something else
            number = None
        else:
            number = int(number) if hasattr(number, "__index__") or number % 1 == 0 else None
    except Exception as error:  # whatever it is, it must not end the program
        warn(f"examples={examples!r:.60}: steps are recorded without it ({type(error).__name__}: {error!s:.60})")
        return None
    if number is None or number < 0:
        warn(f"examples={examples!r:.60}: steps are recorded without it, as it is not a whole number of 0 or more")
        return None
    return number


def number_of(value: Any) -> int | None:
    """Return the number of a step, as given; None if it is not an integer, so that counting continues."""
    if value is None or value.__class__ is int:
        return value
    try:
        number: Any = value
        if not isinstance(value, (str, bytes)) and (hasattr(value, "__index__") or number % 1 == 0):
            return int(number)
    except Exception:  # whatever it is, it must not end the program
        pass
    warn(f"number={value!r:.60} is not a whole number: counting goes on instead")
    return None


_warned: set[str] = set()


def warn(text: str) -> None:
    """Print a line, once."""
    if text not in _warned:
        _warned.add(text)
        try:
            print(f"rankloop: {text}", file=sys.stderr, flush=True)
        except (AttributeError, OSError, ValueError):  # a program may have closed it
            pass

"""A watchdog for drivers that do not answer: a thread of its own, as the one that waits for the answer cannot act."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

_LOOK_S = 1.0


class Watchdog:
    """Checks once a second whether a call is still going on that should have ended.

    The bindings of drivers release Python's lock while they wait for an answer, so that this thread goes on.

    Parameters
    ----------
    over : function
        Function that returns whether the ranks have ended; then a call is not waited for any longer.
    act : function
        Function that is called once, with the name of what does not answer.
    """

    def __init__(self, over: Callable[[], bool], act: Callable[[str], None]) -> None:
        self._over, self._act = over, act
        self._call: tuple[Callable[[], str], float] | None = None  # what goes on, by name, and its limit in s
        threading.Thread(target=self._watch, daemon=True).start()

    @contextlib.contextmanager
    def watching(self, what: Callable[[], str], most_s: float) -> Iterator[None]:
        """Watch a call that must end within ``most_s`` seconds; ``what`` returns the name of what it waits for."""
        self._call = (what, most_s)
        try:
            yield
        finally:
            self._call = None

    def _watch(self) -> None:
        # Looks are counted and no time is measured: a process that was stopped, or a node that slept, does not hang.
        looks, watched = 0, None
        while True:
            time.sleep(_LOOK_S - time.time() % _LOOK_S)  # when the sampler wakes too, at whole seconds on all nodes
            call = self._call
            looks, watched = looks + 1 if call is watched else 0, call
            if call and (looks * _LOOK_S >= call[1] or looks > 1 and self._over()):
                self._act(call[0]())
                return

"""Unix time of readings, and by how much it was set meanwhile: lengths of time must not depend on that."""

import time

_LEAST_MS = 10  # below that it is the time between two looks at clocks; above it, nothing is lost if it is that too


class Clock:
    """The clock of a node, from when it is created."""

    def __init__(self) -> None:
        self._ahead = time.time() - time.monotonic()

    def read(self) -> dict[str, int]:
        """Return the time now: ``time_ms`` and ``clock_set_ms`` of a reading."""
        now = time.time()
        moved = round(1000 * (now - time.monotonic() - self._ahead))
        return {"time_ms": round(1000 * now), "clock_set_ms": moved if abs(moved) >= _LEAST_MS else 0}

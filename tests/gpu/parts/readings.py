"""What NVML reports, against a load that is known: matrix products for no, half and all of the time.

The energy counter against the integral of sampled power; the use of the GPU against the part of the time in which
products ran; and, on Hopper and newer, the SM and tensor activity of NVML's GPM against the operations that were done.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import part
from part import Part

_HZ = 20
# Dense operations of bfloat16 per SM and clock, from NVIDIA's data sheets: A100 312e12 / (108 x 1.41e9),
# H100 and H200 989e12 / (132 x 1.83e9).
_PER_CLOCK = {"8.0": 2048, "9.0": 4096}
_ACTIVITY = {
    "sm_activity": "SM activity",
    "sm_occupancy": "SM occupancy",
    "tensor_activity": "tensor activity",
    "dram_activity": "memory bandwidth",
}


class Watch:
    """Reads a card beside the load, and keeps what it read."""

    def __init__(self, card: Any) -> None:
        self._card, self._over = card, threading.Event()
        self.readings: list[tuple[float, dict[str, int]]] = []
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._over.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._over.wait(1 / _HZ):
            self.readings.append((time.monotonic(), self._card.read()))

    def mean(self, name: str) -> float | None:
        """Of a level, without the first half second, in which it follows."""
        values = [values[name] for at, values in self.readings if name in values and at - self.readings[0][0] > 0.5]
        return sum(values) / len(values) if values else None

    def joules(self) -> tuple[float | None, float | None]:
        """By the counter, and by the trapezoidal rule between sampled powers, over the same time."""
        both = [(at, r["energy_mj"], r["power_mw"]) for at, r in self.readings if {"energy_mj", "power_mw"} <= r.keys()]
        # The counter steps some ten times a second: from step to step, both are of the same time.
        steps = [i for i in range(1, len(both)) if both[i][1] != both[i - 1][1]]
        if len(steps) < 2:
            return None, None
        both = both[steps[0] : steps[-1] + 1]
        sampled = sum((b[0] - a[0]) * (a[2] + b[2]) / 2e3 for a, b in zip(both, both[1:]))
        return (both[-1][1] - both[0][1]) / 1e3, sampled


def measure(own: Part) -> None:
    """See the module."""
    card = part.card()
    import jax
    import jax.numpy as jnp

    rows, seconds = (256, 1.0) if own.tiny else (8192, 8.0)
    left, right = (jax.random.normal(jax.random.key(i), (rows, rows), jnp.bfloat16) for i in (0, 1))
    product = jax.jit(jnp.matmul)
    product(left, right).block_until_ready()
    device = jax.devices()[0]

    def load(part_of_time: float) -> float:
        """Products for a part of each tenth of a second; the operations per second over all of the time."""
        began, made = time.perf_counter(), 0
        while (now := time.perf_counter() - began) < seconds:
            if now % 0.1 < 0.1 * part_of_time:
                product(left, right).block_until_ready()
                made += 1
            else:
                time.sleep(0.001)
        return made * 2 * rows**3 / (time.perf_counter() - began)

    alone = load(1)  # without anybody who reads
    for label, part_of_time in (("idle", 0), ("half", 0.5), ("full", 1)):
        with Watch(card) as watch:
            rate = load(part_of_time)
        if part_of_time:
            own.row(f"{label}: products of {rows} rows, bfloat16", rate / 1e12, "TFLOP/s")
        counted, sampled = watch.joules()
        own.row(f"{label}: energy by the counter", counted or "not reported", "J")
        own.row(f"{label}: energy by sampled power", sampled or "not reported", "J", f"{_HZ} readings per second")
        if counted and sampled:
            own.row(f"{label}: counter over sampled", counted / sampled)
        own.row(f"{label}: use of the GPU", watch.mean("gpu_utilization") or 0.0, "%", f"known: {part_of_time:.0%}")
        clock = watch.mean("sm_clock_mhz")
        own.row(f"{label}: SM clock", clock or "not reported", "MHz")
        for name, title in _ACTIVITY.items():
            if (value := watch.mean(name)) is not None:
                own.row(f"{label}: {title} (GPM)", value / 10, "%")
        most = _PER_CLOCK.get(str(getattr(device, "compute_capability", "")))
        if most and clock and part_of_time:
            peak = most * device.core_count * clock * 1e6
            own.row(
                f"{label}: products over the peak at this clock", 100 * rate / peak, "%", "tensor activity expected"
            )
    own.row("products with readings over products without", rate / alone, "", f"{_HZ} readings per second")
    if (why := card.codes.get("gpm")) is not None:
        own.row("GPM", "not measured", note=card.error_text(why))


if __name__ == "__main__":
    part.main(measure)

"""What recording a step costs: the loop of a program with rankloop.steps and rankloop.step, beside the same loop bare.

    python tests/benchmarks/recorder.py

Each round times all loops, one after the other, so that what else the machine does meanwhile is shared.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

INSIDE = Path(__file__).resolve().parents[2] / "launch" / "inside"


def bare(count: int) -> None:
    for _ in range(count):
        pass


def loader(count: int) -> None:
    for _ in rankloop.steps(range(count), examples=64):
        pass


def block(count: int) -> None:
    for _ in range(count):
        with rankloop.step(examples=64):
            pass


def stopping(count: int) -> None:
    for _ in rankloop.steps(range(count), examples=64):
        rankloop.stop_requested()


def measured(loop: Callable[[int], None], count: int) -> tuple[float, float]:
    """Wall time and processor time of a step, us; the latter that of all threads, and little moved by other programs."""
    begin, cpu = time.perf_counter(), time.process_time()
    loop(count)
    return 1e6 * (time.perf_counter() - begin) / count, 1e6 * (time.process_time() - cpu) / count


LOOPS = {"bare loop": bare, "rankloop.steps": loader, "rankloop.step": block, "steps and stop_requested": stopping}


if __name__ == "__main__":
    count, rounds = 100_000, 9
    with tempfile.TemporaryDirectory() as run:
        for folder in ("steps", "meeting"):
            (Path(run) / folder).mkdir()
        os.environ.update(LAUNCH_RUN=run, LAUNCH_STEPS=f"{run}/steps/rank0.jsonl", LAUNCH_RANK="0", LAUNCH_SIZE="1", LAUNCH_NODE="0", LAUNCH_ATTEMPT="1")  # fmt: skip
        sys.path.insert(0, str(INSIDE))
        import rankloop

        taken = [{name: measured(loop, count) for name, loop in LOOPS.items()} for _ in range(rounds)]
        print(
            f"{count} steps, {rounds} rounds, Python {sys.version.split()[0]}: us per step, median (lowest - highest)"
        )
        for name in LOOPS:
            wall, cpu = ([each[name][kind] for each in taken] for kind in (0, 1))
            shown = (f"{statistics.median(each):6.2f} ({min(each):.2f} - {max(each):.2f})" for each in (wall, cpu))
            print(f"{name:<25} wall {next(shown)}  processor {next(shown)}")
        size = sum(path.stat().st_size for path in Path(run, "steps").iterdir())
        print(f"{size / (3 * count * rounds):.0f} bytes per step")

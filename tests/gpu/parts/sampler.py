"""What the sampler costs beside a rank that holds the GPU: of a core, and of the time of a reading, at 1 and 10 Hz."""

import part
from part import Absent, Part

from profiling.telemetry.usage import usage

_NAMES = {"sampler_cores", "sampling_s", "gpu_utilization"}


def measure(own: Part) -> None:
    """See the module."""
    words, seconds = [], 2 if own.tiny else 6
    try:
        part.card()
        words = ["--gpus-per-node", "1"]
    except Absent as absent:
        own.row("GPU", "not read", note=f"host and process alone: {absent}")
    for hz in (10,) if own.tiny else (1, 10):
        done = own.launch("--name", f"at{hz}", "--sample-hz", str(hz), *words, "--", "sleep", str(seconds))
        if done.returncode:
            raise SystemExit(f"the run ended with {done.returncode}")
        for found in usage(own.folder / f"at{hz}" / "readings", names=_NAMES):
            if (cores := found.numbers.get("sampler_cores")) is not None:
                own.row(
                    f"at {hz} Hz: processor time per reading", 1000 * cores / hz, "ms", f"{found.readings} readings"
                )
                own.row(f"at {hz} Hz: time per reading", 1000 * found.numbers["sampling_s"], "ms")


if __name__ == "__main__":
    part.main(measure)

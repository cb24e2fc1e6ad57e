"""What rankloop.keras costs on one rank: the time of a step of rk.fit, under the launcher's variables, beside plain model.fit.

    python tests/benchmarks/keras_fit.py

Rounds of both take turns, so that what else the machine does meanwhile is shared. A network of microseconds shows the cost per step, one of
milliseconds what it comes to.
"""

import functools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

INSIDE = Path(__file__).resolve().parents[2] / "launch" / "inside"
STEPS, BATCH, ROUNDS = 100, 64, 7


def network(width: int) -> Any:
    import keras

    hidden = (keras.layers.Dense(width, "relu") for _ in range(3))
    model = keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def measured(fit: Callable[..., Any], *data: Any) -> tuple[float, float]:
    """Wall time and processor time of a step, ms."""
    begin, cpu = time.perf_counter(), time.process_time()
    fit(*data, batch_size=BATCH, verbose=0)
    return 1e3 * (time.perf_counter() - begin) / STEPS, 1e3 * (time.process_time() - cpu) / STEPS


def main() -> None:
    import numpy as np
    import rankloop.keras as rk

    random = np.random.default_rng(0)
    x, y = (random.normal(size=(STEPS * BATCH, n)).astype("float32") for n in (64, 1))
    for width in (8, 1024):
        fits = {"model.fit": network(width).fit, "rk.fit": functools.partial(rk.fit, network(width), save_every=0)}
        taken = [{name: measured(fit, x, y) for name, fit in fits.items()} for _ in range(ROUNDS + 1)][
            1:
        ]  # the first compiles
        for kind, what in enumerate(("wall", "processor")):
            for name in fits:
                each = [round_[name][kind] for round_ in taken]
                print(
                    f"width {width:4}  {what:<9} {name:<9} {statistics.median(each):7.3f} ms per step ({min(each):.3f} - {max(each):.3f})"
                )
            ratios = [round_["rk.fit"][kind] / round_["model.fit"][kind] for round_ in taken]
            print(
                f"width {width:4}  {what:<9} ratio     {statistics.median(ratios):7.3f} ({min(ratios):.3f} - {max(ratios):.3f})"
            )


if __name__ == "__main__":
    sys.path.insert(0, str(INSIDE))
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_NUM_INTRAOP_THREADS="1")
    with tempfile.TemporaryDirectory() as run:
        for folder in ("steps", "meeting", "checkpoints"):
            (Path(run) / folder).mkdir()
        os.environ.update(LAUNCH_RUN=run, LAUNCH_STEPS=f"{run}/steps/rank0.jsonl", LAUNCH_RANK="0", LAUNCH_SIZE="1", LAUNCH_NODE="0", LAUNCH_ATTEMPT="1")  # fmt: skip
        main()

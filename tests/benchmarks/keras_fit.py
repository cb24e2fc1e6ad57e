"""What rankloop.keras costs on one rank: the time of a step of rk.fit, under the launcher's variables, beside plain model.fit.

    python tests/benchmarks/keras_fit.py

Rounds of both take turns, so that what else the machine does meanwhile is shared. A network of microseconds shows the cost per step, one of
milliseconds what it comes to.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

INSIDE = Path(__file__).resolve().parents[2] / "launch" / "inside"
EXAMPLES, BATCH, ROUNDS = 64 * 200, 64, 7


def main() -> None:
    import keras
    import numpy as np
    import rankloop.keras as rk

    random = np.random.default_rng(0)
    x, y = random.normal(size=(EXAMPLES, 64)).astype("float32"), random.normal(size=(EXAMPLES, 1)).astype("float32")
    for width in (8, 1024):
        models = []
        for _ in range(2):
            model = keras.Sequential(
                [keras.Input((64,)), *(keras.layers.Dense(width, "relu") for _ in range(3)), keras.layers.Dense(1)]
            )
            model.compile("adam", "mse")
            models.append(model)
        plain, ours = models
        fits = {
            "model.fit": lambda: plain.fit(x, y, batch_size=BATCH, verbose=0),
            "rk.fit": lambda: rk.fit(ours, x, y, batch_size=BATCH, verbose=0, save_every=0),
        }
        times: dict[str, list[float]] = {name: [] for name in fits}
        for _ in range(ROUNDS + 1):
            for name, fit in fits.items():
                begin = time.perf_counter()
                fit()
                times[name].append(1e3 * (time.perf_counter() - begin) / (EXAMPLES // BATCH))
        for name, each in times.items():
            kept = each[1:]  # the first one compiles
            print(
                f"width {width:4}  {name:<10} {statistics.median(kept):6.3f} ms per step ({min(kept):.3f} - {max(kept):.3f})"
            )
        ratios = [b / a for a, b in zip(times["model.fit"][1:], times["rk.fit"][1:])]
        print(f"width {width:4}  ratio      {statistics.median(ratios):6.3f} ({min(ratios):.3f} - {max(ratios):.3f})")


if __name__ == "__main__":
    sys.path.insert(0, str(INSIDE))
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_NUM_INTRAOP_THREADS="1")
    with tempfile.TemporaryDirectory() as run:
        for folder in ("steps", "meeting", "checkpoints"):
            (Path(run) / folder).mkdir()
        os.environ.update(LAUNCH_RUN=run, LAUNCH_STEPS=f"{run}/steps/rank0.jsonl", LAUNCH_RANK="0", LAUNCH_SIZE="1", LAUNCH_NODE="0", LAUNCH_ATTEMPT="1")  # fmt: skip
        main()

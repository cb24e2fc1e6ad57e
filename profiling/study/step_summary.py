"""A summary of the timed steps of a run: median with an interval, the worst steps, throughput, waiting of ranks."""

from dataclasses import asdict
from typing import Any

import numpy as np

from profiling.study import confidence
from profiling.study.steps import UNIT, Steps


def summary(timed: Steps) -> dict[str, Any]:
    """Return the summary of the timed steps of a run, as in `python -m profiling summary --json`."""
    seconds = timed.lengths
    interval, every = median_interval(seconds)
    shares: dict[str, Any] = dict.fromkeys(("waiting_share", "load_balance", "slowest_rank"))
    if timed.own_seconds is not None:
        own = timed.own_seconds.mean(axis=1)  # mean over the steps, by rank
        shares["waiting_share"] = float(1 - timed.own_seconds.mean() / timed.seconds.mean())
        # POP's load balance: the mean over the ranks of their own work, over that of the slowest.
        shares["load_balance"], shares["slowest_rank"] = float(own.mean() / own.max()), int(own.argmax())
    return {
        "timed": len(seconds),
        "left_out": timed.left_out,
        "doubts": list(timed.doubts),
        "median_seconds": float(np.median(seconds)),
        "median_interval": interval and asdict(interval),
        "interval_of_every": every,
        "worst_hundredth_seconds": float(np.quantile(seconds, 0.99)),
        "throughput": timed.throughput,
        "unit": timed.unit,
        "throughput_examples_per_s": timed.throughput if timed.unit == UNIT else None,
        "input_share": timed.input_share,
        **shares,
    }


def median_interval(seconds: np.ndarray) -> tuple[confidence.Interval | None, int]:
    """Return the 95 % interval of the median step, and the distance between the steps that are used for it.

    Successive steps are alike, and an interval needs independent ones. The distance is therefore the lag at which the
    autocorrelation of their order has fallen below 0.1, or a tenth of the run.
    """
    # Positions in sorted order, not lengths: a few long steps must not hide how alike the others are.
    places = seconds.argsort().argsort().astype(float)
    places -= places.mean()
    variance = float(places @ places)
    most = max(1, len(seconds) // 10)
    lags = range(1, most + 1)
    every = next((lag for lag in lags if variance == 0 or places[:-lag] @ places[lag:] < 0.1 * variance), most)
    return confidence.median(tuple(seconds[::every])), every

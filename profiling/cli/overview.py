"""What is known of one run, as a document for programs: its steps, its GPUs, ranks and nodes, who holds it up, what was read."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TypedDict

import numpy as np

from launch.record.files import read_end, read_lines
from launch.record.rundir import RunDir
from launch.submit import states
from profiling.study import confidence, steps, stragglers
from profiling.telemetry import readings
from profiling.telemetry.usage import Usage, usage


class _Note(TypedDict, total=False):
    """A line of readings/node<k>.notes."""

    event: str
    field: str
    code: int
    error: str
    missing: dict[str, str]


def document(run: RunDir) -> dict[str, Any]:
    """What is known of a run; its keys are described in docs/readings.md."""
    (known,), _ = states.look([run.path])
    plan = run.record()
    ranks = plan["nodes"] * plan["ranks_per_node"]
    made: dict[str, Any] = {
        "format": 1,
        "run": str(run.path),
        "workload": plan["workload"],
        "state": known.state,
        "nodes": plan["nodes"],
        "ranks": ranks,
        "attempts": known.attempts,
        "steps": None,
        "stragglers": [],
        "why_no_steps": None,
    }
    begin = end = None
    try:
        timed = steps.read(run, ranks)
    except steps.Unusable as error:
        made["why_no_steps"] = str(error)
    else:
        begin, end = float(timed.start.min()), float((timed.start + timed.seconds).max())
        made["steps"] = _steps(timed)
        made["stragglers"] = [asdict(one) for one in stragglers.find(run, timed)]
    found = usage(run.readings, begin, end, {*_OF_GPU, *_OF_PROCESS, *_OF_HOST, *_OF_SAMPLER})
    throughput = made["steps"] and made["steps"]["throughput_examples_per_s"]
    return made | {
        "gpus": _gpus([one for one in found if one.device], throughput),
        "processes": _spread([one for one in found if one.rank is not None], _OF_PROCESS),
        "hosts": _spread([one for one in found if one.rank is None and one.device is None], _OF_HOST),
        "recording": _recording(run, plan, found),
    }


def _steps(timed: steps.Steps) -> dict[str, Any]:
    seconds = timed.of_chief
    interval, every = step_interval(seconds)
    own = timed.own_seconds.mean(axis=1)  # of each rank
    return {
        "timed": len(seconds),
        "left_out": timed.left_out,
        "doubts": list(timed.doubts),
        "median_seconds": float(np.median(seconds)),
        "median_interval": interval and asdict(interval),
        "interval_of_every": every,
        "worst_hundredth_seconds": float(np.quantile(seconds, 0.99)),
        "throughput_examples_per_s": timed.examples * len(seconds) / float(seconds.sum()),
        "input_share": float(timed.input_seconds.mean() / timed.seconds.mean()),
        "waiting_share": float(1 - timed.own_seconds.mean() / timed.seconds.mean()),
        # POP's load balance: the mean over the ranks of their own work, by that of the slowest.
        "load_balance": float(own.mean() / own.max()),
        "slowest_rank": int(own.argmax()),
    }


def step_interval(seconds: np.ndarray) -> tuple[confidence.Interval | None, int]:
    """95 % interval of the median step, and of every how many-th step it is made.

    Steps that follow each other are alike, and an interval needs independent ones: so it takes them as far apart as the lag at
    which their ranks' autocorrelation has fallen below 0.1, or a tenth of the run.

    Parameters
    ----------
    seconds : np.ndarray, shape (steps,)
        Lengths of successive steps.
    """
    places = (
        seconds.argsort().argsort().astype(float)
    )  # ranks in order: a few long steps must not hide how alike the others are
    places -= places.mean()
    variance = float(places @ places)
    most = max(1, len(seconds) // 10)
    lags = range(1, most + 1)
    every = next((lag for lag in lags if variance == 0 or places[:-lag] @ places[lag:] < 0.1 * variance), most)
    return confidence.median(tuple(seconds[::every])), every


_OF_HOST = (
    "host_cpu_cores", "host_available_least_bytes", "network_tx_mib_per_s", "infiniband_tx_mib_per_s", "package_energy_j", "dram_energy_j",
)  # fmt: skip
_OF_GPU = (
    "gpu_utilization", "energy_j", "integrated_energy_j", "memory_peak_bytes", "sm_clock_mhz", "temperature_peak_c", "throttled_share",
    "throttled_power_s", "throttled_thermal_s", "pcie_rx_mib_per_s", "nvlink_tx_mib_per_s", "ecc_uncorrected",
)  # fmt: skip
_OF_PROCESS = ("cpu_cores", "rss_peak_bytes")
_OF_SAMPLER = ("sampler_cores", "sampling_s")


def _spread(found: Sequence[Usage], names: Sequence[str]) -> dict[str, Any]:
    """Of each number: its mean, and where it is least and greatest; only of those that anybody has."""
    made: dict[str, Any] = {"count": len(found)}
    for name in names:
        having = [one for one in found if name in one.numbers]
        if having:
            least, greatest = (pick(having, key=lambda one: one.numbers[name]) for pick in (min, max))
            made[name] = {
                "mean": statistics.fmean(one.numbers[name] for one in having),
                "of": len(having),
                **{
                    word: {"value": one.numbers[name], "node": one.node, "rank": one.rank}
                    for word, one in (("least", least), ("greatest", greatest))
                },
            }
    return made


def _gpus(found: Sequence[Usage], throughput: float | None) -> dict[str, Any]:
    made = _spread(found, ("power_w", *_OF_GPU))
    made["count"] = len({one.device for one in found})
    # A card that counts energy is known better than one whose power was asked for now and then.
    of = {one.device: one for one in found}.values()
    powered = [one for one in of if "power_w" in one.numbers]
    if powered:
        made["power_of_all_w"] = sum(one.numbers["power_w"] for one in powered)
        ways = {"counted" if "energy_j" in one.numbers else "integrated" for one in powered}
        made["energy_is"] = " and ".join(sorted(ways))
        if throughput:
            made["joules_per_example"] = made["power_of_all_w"] / throughput
    return made


def _recording(run: RunDir, plan: dict[str, Any], found: Sequence[Usage]) -> dict[str, Any]:
    """What was read, what could not be, and what it has cost."""
    nodes = [one for one in found if one.rank is None and one.device is None]
    troubles: dict[str, int] = {}
    for path in sorted(run.readings.glob("node*.notes")):
        for line in read_lines(path, _Note):
            if line.get("event") == "code" and line.get("code"):
                said = f"{line.get('field')}: {line.get('error')}"
                troubles[said] = troubles.get(said, 0) + 1
            for device, why in line.get("missing", {}).items():
                troubles[f"{device}: {why}"] = troubles.get(f"{device}: {why}", 0) + 1
    troubles |= {f"readings/{path.name} is damaged and left out": 1 for path in readings.parquet(run.readings).damaged}
    errors = run.readings / "errors.log"
    made: dict[str, Any] = {
        "hz": plan.get("sample_hz"),
        "readings": sum(one.readings for one in found),
        "nodes": len(nodes),
        "troubles": troubles,
        "errors": str(errors) if read_end(errors, 1) else None,
    }
    return made | _spread(nodes, _OF_SAMPLER)

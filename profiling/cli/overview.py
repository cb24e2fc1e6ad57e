"""What is known of one run, as a document for programs: its steps, GPUs, ranks and nodes, stragglers, its recording."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from launch.record.files import read_json, read_lines
from launch.record.rundir import RunDir
from launch.submit.states import Known
from profiling.study import confidence, steps, stragglers
from profiling.telemetry import readings
from profiling.telemetry.usage import Usage, usage


def document(run: RunDir, known: Known) -> dict[str, Any]:
    """What is known of a run; its keys are described in docs/readings.md."""
    plan = read_json(run.run_json)
    ranks = plan["nodes"] * plan["ranks_per_node"]
    begin = end = timed = reason = None
    try:
        timed = steps.read(run, ranks)
        begin, end = timed.span
    except steps.Unusable as error:
        reason = str(error)
    found = usage(run.readings, begin, end, {*_OF_GPU, *_OF_PROCESS, *_OF_HOST, *_OF_SAMPLER})
    of_steps = _steps(timed) if timed else {}
    return {
        "format": 1,
        "run": str(run.path),
        "workload": plan["workload"],
        "state": known.state,
        "nodes": plan["nodes"],
        "ranks": ranks,
        "attempts": known.attempts,
        "steps": of_steps or None,
        "stragglers": [asdict(straggler) for straggler in stragglers.find(run, timed)] if timed else [],
        "why_no_steps": reason,
        "gpus": _gpus([used for used in found if used.device], of_steps.get("throughput_examples_per_s")),
        "processes": _spread([used for used in found if used.rank is not None], _OF_PROCESS),
        "hosts": _spread([used for used in found if used.rank is None and used.device is None], _OF_HOST),
        "recording": _recording(run, plan, found),
    }


def _steps(timed: steps.Steps) -> dict[str, Any]:
    seconds = timed.rank0_seconds
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
        # POP's load balance: the mean over the ranks of their own work, over that of the slowest.
        "load_balance": float(own.mean() / own.max()),
        "slowest_rank": int(own.argmax()),
    }


def step_interval(seconds: np.ndarray) -> tuple[confidence.Interval | None, int]:
    """95 % interval of the median step, and every how many steps one is taken for it.

    Steps that follow each other are alike, and an interval needs independent ones: so it takes them as far apart as the
    lag at which the autocorrelation of their order has fallen below 0.1, or a tenth of the run.

    Parameters
    ----------
    seconds : np.ndarray, shape (steps,)
        Lengths of successive steps.
    """
    # Of their places in order: a few long steps must not hide how alike the others are.
    places = seconds.argsort().argsort().astype(float)
    places -= places.mean()
    variance = float(places @ places)
    most = max(1, len(seconds) // 10)
    lags = range(1, most + 1)
    every = next((lag for lag in lags if variance == 0 or places[:-lag] @ places[lag:] < 0.1 * variance), most)
    return confidence.median(tuple(seconds[::every])), every


_OF_HOST = (
    *("host_cpu_cores", "host_available_least_bytes", "network_tx_mib_per_s", "infiniband_tx_mib_per_s"),
    *("package_energy_j", "dram_energy_j"),
)
_OF_GPU = (
    *("gpu_utilization", "energy_j", "integrated_energy_j", "memory_peak_bytes", "sm_clock_mhz", "temperature_peak_c"),
    *("throttled_share", "throttled_power_s", "throttled_thermal_s", "pcie_rx_mib_per_s", "nvlink_tx_mib_per_s"),
    "ecc_uncorrected",
)
_OF_PROCESS = ("cpu_cores", "rss_peak_bytes")
_OF_SAMPLER = ("sampler_cores", "sampling_s")


def _spread(found: Sequence[Usage], names: Sequence[str]) -> dict[str, Any]:
    """Of each number that any of them has: its mean, and where it is least and greatest."""
    spread: dict[str, Any] = {"count": len(found)}
    for name in names:
        present = sorted((used for used in found if name in used.numbers), key=lambda used: used.numbers[name])
        if present:
            spread[name] = {
                "mean": statistics.fmean(used.numbers[name] for used in present),
                "of": len(present),
                **{
                    word: {"value": used.numbers[name], "node": used.node, "rank": used.rank}
                    for word, used in (("least", present[0]), ("greatest", present[-1]))
                },
            }
    return spread


def _gpus(found: Sequence[Usage], throughput: float | None) -> dict[str, Any]:
    spread = _spread(found, ("power_w", *_OF_GPU))
    devices = {used.device: used for used in found}  # one that several ranks share is there for each
    spread["count"] = len(devices)
    powered = [used.numbers for used in devices.values() if "power_w" in used.numbers]
    if powered:
        spread["power_of_all_w"] = sum(numbers["power_w"] for numbers in powered)
        # A card that counts its energy is known better than one whose power was read now and then.
        ways = {"counted" if "energy_j" in numbers else "integrated" for numbers in powered}
        spread["energy_is"] = " and ".join(sorted(ways))
        if throughput:
            spread["joules_per_example"] = spread["power_of_all_w"] / throughput
    return spread


def _recording(run: RunDir, plan: dict[str, Any], found: Sequence[Usage]) -> dict[str, Any]:
    """What was read, what could not be, and what it has cost."""
    nodes = [used for used in found if used.rank is None and used.device is None]
    troubles: Counter[str] = Counter()
    for path in sorted(run.readings.glob("node*.notes")):
        for line in read_lines(path):
            if line["event"] == "code" and line["code"]:
                troubles[f"{line['field']}: {line['error']}"] += 1
            troubles.update(f"{device}: {why}" for device, why in line.get("missing", {}).items())
    troubles.update(f"readings/{path.name} is damaged and left out" for path in readings.parquet(run.readings).damaged)
    errors = run.readings / "errors.log"
    return {
        "hz": plan.get("sample_hz"),
        "readings": sum(used.readings for used in found),
        "nodes": len(nodes),
        "troubles": troubles,
        "errors": str(errors) if errors.exists() and errors.stat().st_size else None,
        **_spread(nodes, _OF_SAMPLER),
    }

"""What the runs of a point used: GPUs, power, memory - from their readings - and the operations that they did."""

from collections.abc import Sequence
from typing import Any

from profiling.study.run import Run
from profiling.study.steps import UNIT
from profiling.telemetry import coverage, notes, readings
from profiling.telemetry.doubts import doubts
from profiling.telemetry.notes import Notes
from profiling.telemetry.usage import POWER, Span, Usage, cards, usages

_SHOWN = 5  # lines on a run; its summary has them all
_ACTIVITY = ("sm_activity", "tensor_activity")
_WANTED = ("gpu_utilization", *_ACTIVITY, POWER, "memory_peak_bytes", "rss_peak_bytes", "sampler_cores")


def of_point(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the numbers of a point over all its runs: ratios of sums, never means of ratios; unread ones are absent.

    gpu_utilisation, sm_activity, tensor_activity, power_w (all GPUs of a run, each over the time for which it is
    known; of the runs whose GPUs were all read), energy_per_example_j (of these times), peak_memory_bytes (the fullest
    GPU), peak_rss_bytes (the largest rank), mfu, recording_share (of rank 0's time of training), sampler_share (of a
    core per node). ``doubts``: lines on what the numbers of GPUs rest on, and on what was not read.
    """
    read = usages([Span(run.directory.readings, *run.steps.span) for run in runs], _WANTED)
    used = [usage for of_run in read for usage in of_run]
    devices = [usage for usage in used if usage.device]
    noted = [notes.read(run.directory) for run in runs]
    held = [usage for of, of_run in zip(noted, read) for usage in of_run if usage.device not in {None, *of.whole}]
    missing = [coverage.without_gpus(of_run, of, run.nodes, run.plan) for run, of_run, of in zip(runs, read, noted)]
    about = zip(runs, read, noted, missing, coverage.read([run.directory for run in runs]))
    numbers: dict[str, Any] = {"doubts": [line for each in about for line in _doubts(*each)]}
    if peaks := _all(held, "memory_peak_bytes"):
        numbers["peak_memory_bytes"] = max(peak for peak, _ in peaks)
    if peaks := _all(used, "rss_peak_bytes"):
        numbers["peak_rss_bytes"] = max(peak for peak, _ in peaks)
    for key, values in (
        ("gpu_utilisation", _all(devices, "gpu_utilization")),
        *((name, _all(devices, name)) for name in _ACTIVITY),
        ("sampler_share", _all(used, "sampler_cores")),
    ):
        if seconds := sum(seconds for _, seconds in values):
            numbers[key] = sum(value * seconds for value, seconds in values) / seconds
    powered = [
        (float(run.steps.lengths.sum()), run, having)
        for run, of_run, nodes in zip(runs, read, missing)
        if not nodes and (having := [used for used in cards(of_run) if POWER in used.numbers])
    ]
    if powered:
        drawn = sum(seconds * sum(used.numbers[POWER] for used in having) for seconds, _, having in powered)
        numbers["power_w"] = drawn / sum(seconds for seconds, *_ in powered)
        if all(run.steps.unit == UNIT for _, run, _ in powered):
            energy = sum(seconds * sum(used.energised_w for used in having) for seconds, _, having in powered)
            examples = sum(run.steps.examples * len(run.steps.number) for _, run, _ in powered)
            numbers["energy_per_example_j"] = energy / examples
    return numbers | _utilisation(runs) | _recording(runs)


def unread(runs: Sequence[Run]) -> str:
    """Return why nothing is known of the readings of all runs; empty if something may be."""
    if any(readings.files(run.directory.readings) for run in runs):
        return "" if readings.can_be_read() else "duckdb, which reads the readings, is not installed"
    return "there are no readings" + " (--sample-hz 0)" * all(run.plan.get("sample_hz") == 0 for run in runs)


def _all(used: Sequence[Usage], name: str) -> list[tuple[float, float]]:
    """Return the values of a number from the usages that have it, each with the seconds that it covers."""
    return [(usage.numbers[name], usage.seconds) for usage in used if name in usage.numbers]


def _doubts(
    run: Run, used: Sequence[Usage], noted: Notes, missing: Sequence[int], found: Sequence[coverage.Read]
) -> list[str]:
    """Return what a summary of the run says about the numbers of GPUs and about what was not read."""
    gaps = coverage.gaps(run.directory, run.nodes, run.plan.get("sample_hz") or 0.0, noted, found)
    lines = [*doubts(used, noted.whole, missing), *gaps]
    more = [f"{len(lines) - _SHOWN} more such lines are in its summary"] if len(lines) > _SHOWN else []
    return [f"{run.name}: {line}" for line in (*lines[:_SHOWN], *more)]


def _recording(runs: Sequence[Run]) -> dict[str, float]:
    """Return the share of recording in the phase in which steps are made and recorded."""
    phases = [run.phases for run in runs]
    if not all("record" in each for each in phases):
        return {}
    recording = sum(each["record"] for each in phases)
    training = sum(each.get(name, 0) for each in phases for name in ("train", "trace"))
    return {"recording_share": recording / (recording + training)} if recording + training else {}


def _utilisation(runs: Sequence[Run]) -> dict[str, float]:
    """Return the model FLOPs utilisation: operations that the timed steps need over those that were possible."""
    done = possible = 0.0
    for run in runs:
        per_example, peak = run.result.get("flops_per_example"), run.result.get("peak_flop_per_s")
        if not per_example or not peak:
            return {}
        done += per_example * run.steps.examples * len(run.steps.number)
        possible += peak * float(run.steps.lengths.sum())
    return {"mfu": done / possible}

"""What the runs of a point used: GPUs, power, memory - from their readings - and the operations that they did."""

from collections.abc import Sequence
from typing import Any

from profiling import text
from profiling.study.run import Run
from profiling.study.steps import UNIT
from profiling.telemetry import notes, readings
from profiling.telemetry.doubts import doubts
from profiling.telemetry.usage import POWER, Span, Usage, cards, usages

_COVERED, _LATE_S = 0.9, 2.0  # share of the timed steps that readings must cover; s that may be lost at the ends
_ACTIVITY = ("sm_activity", "tensor_activity")
_WANTED = ("gpu_utilization", *_ACTIVITY, POWER, "memory_peak_bytes", "rss_peak_bytes", "sampler_cores")


def of_point(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the numbers of a point over all its runs: ratios of sums, never means of ratios; unread ones are absent.

    gpu_utilisation, sm_activity, tensor_activity, power_w (all GPUs of a run, each over the time for which it is
    known), energy_per_example_j (of these times), peak_memory_bytes (the fullest GPU), peak_rss_bytes (the largest
    rank), mfu, recording_share (of rank 0's time of training), sampler_share (of a core per node). ``doubts``: lines on
    what the numbers of GPUs rest on.
    """
    read = usages([Span(run.directory.readings, *run.steps.span) for run in runs], _WANTED)
    used = [usage for of_run in read for usage in of_run]
    devices = [usage for usage in used if usage.device]
    whole = [_whole(run, of_run) for run, of_run in zip(runs, read)]
    held = [usage for cards, of_run in zip(whole, read) for usage in of_run if usage.device not in {None, *cards}]
    numbers: dict[str, Any] = {
        "doubts": [
            f"{run.name}: {line}"
            for run, of_run, cards in zip(runs, read, whole)
            for line in (*doubts(of_run, cards), *_gaps(run, of_run))
        ]
    }
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
        (float(run.steps.rank0_seconds.sum()), run, having)
        for run, of_run in zip(runs, read)
        if (having := [used for used in cards(of_run) if POWER in used.numbers])
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


def _whole(run: Run, used: Sequence[Usage]) -> set[str]:
    """Return the cards that were read only because ranks hold instances (MIG) of them."""
    return notes.read(run.directory).whole if any((one.device or "").startswith("MIG-") for one in used) else set()


def _gaps(run: Run, used: Sequence[Usage]) -> list[str]:
    """Return a line per node whose readings cover less than the timed steps."""
    seconds, hz = float(run.steps.rank0_seconds.sum()), run.plan.get("sample_hz") or 1.0
    least = _COVERED * seconds - _LATE_S - 2 / hz
    return [
        f"the readings of node {one.node} cover {text.number(one.seconds, 3)} of {text.number(seconds, 3)} s"
        for one in used
        if one.rank is None and one.device is None and one.seconds < least
    ]


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
        possible += peak * float(run.steps.rank0_seconds.sum())
    return {"mfu": done / possible}

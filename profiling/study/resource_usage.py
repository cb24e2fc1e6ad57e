"""What the runs of a point used: GPUs, power, memory - from their readings - and the operations that they did."""

from collections.abc import Sequence

from profiling.study.run import Run
from profiling.study.steps import UNIT
from profiling.telemetry.usage import Span, Usage, usages

_WANTED = ("gpu_utilization", "energy_j", "integrated_energy_j", "memory_peak_bytes", "rss_peak_bytes", "sampler_cores")


def of_point(runs: Sequence[Run]) -> dict[str, float]:
    """Numbers of a point, over all its runs: ratios of sums, never means of ratios. What was not read is absent.

    gpu_utilisation, power_w (all GPUs of a run), energy_per_example_j, peak_memory_bytes (the fullest GPU),
    peak_rss_bytes (the largest rank), mfu, recording_share (of rank 0's time of training), sampler_share (of a core per
    node).
    """
    read = usages([Span(run.directory.readings, *run.steps.span) for run in runs], _WANTED)
    used = [usage for of_run in read for usage in of_run]
    devices = [usage for usage in used if usage.device]
    numbers: dict[str, float] = {}
    if peaks := _all(devices, "memory_peak_bytes"):
        numbers["peak_memory_bytes"] = max(peak for peak, _ in peaks)
    if peaks := _all(used, "rss_peak_bytes"):
        numbers["peak_rss_bytes"] = max(peak for peak, _ in peaks)
    for key, values in (
        ("gpu_utilisation", _all(devices, "gpu_utilization")),
        ("sampler_share", _all(used, "sampler_cores")),
    ):
        if seconds := sum(seconds for _, seconds in values):
            numbers[key] = sum(value * seconds for value, seconds in values) / seconds
    powered = [(run, power) for run, of_run in zip(runs, read) if (power := _power(of_run)) is not None]
    if powered:
        energy = sum(power * float(run.steps.rank0_seconds.sum()) for run, power in powered)
        numbers["power_w"] = energy / sum(float(run.steps.rank0_seconds.sum()) for run, _ in powered)
        if all(run.steps.unit == UNIT for run, _ in powered):
            examples = sum(run.steps.examples * len(run.steps.number) for run, _ in powered)
            numbers["energy_per_example_j"] = energy / examples
    return numbers | _utilisation(runs) | _recording(runs)


def _all(used: Sequence[Usage], name: str) -> list[tuple[float, float]]:
    """The values of a number from the runs that read it, and over how many seconds."""
    return [(usage.numbers[name], usage.seconds) for usage in used if name in usage.numbers]


def _power(used: Sequence[Usage]) -> float | None:
    """Watts of all GPUs of a run: their energy, counted or integrated, over the time."""
    # A GPU that several ranks share occurs once per rank.
    watts = {usage.device: usage.numbers["power_w"] for usage in used if usage.device and "power_w" in usage.numbers}
    return sum(watts.values()) if watts else None


def _recording(runs: Sequence[Run]) -> dict[str, float]:
    """The share of recording in the phase in which steps are made and recorded."""
    phases = [run.phases for run in runs]
    if not all("record" in each for each in phases):
        return {}
    recording = sum(each["record"] for each in phases)
    training = sum(each.get(name, 0) for each in phases for name in ("train", "trace"))
    return {"recording_share": recording / (recording + training)} if recording + training else {}


def _utilisation(runs: Sequence[Run]) -> dict[str, float]:
    """Model FLOPs utilisation: the operations that the timed steps need over those that the machine could have done."""
    done = possible = 0.0
    for run in runs:
        per_example, peak = run.result.get("flops_per_example"), run.result.get("peak_flop_per_s")
        if not per_example or not peak:
            return {}
        done += per_example * run.steps.examples * len(run.steps.number)
        possible += peak * float(run.steps.rank0_seconds.sum())
    return {"mfu": done / possible}

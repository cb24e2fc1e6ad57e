"""What the runs of a point used: GPUs, power, memory - from their readings - and the operations that they did."""

from collections.abc import Sequence

from launch.record.rundir import RunDir
from profiling.study.runs import Run, Study
from profiling.study.steps import UNIT
from profiling.telemetry.usage import Span, Usage, usages

_WANTED = ("gpu_utilization", "energy_j", "integrated_energy_j", "memory_peak_bytes", "rss_peak_bytes", "sampler_cores")


def of_point(study: Study, runs: Sequence[Run]) -> dict[str, float]:
    """Numbers of a point, over all its runs; what was not read is absent.

    Parameters
    ----------
    study : Study
        In whose folder the runs lie.
    runs : sequence of Run
        The repeats of the point.

    Returns
    -------
    dict of str to float
        gpu_utilisation, power_w (all GPUs of a run), energy_per_example_j, peak_memory_bytes (the fullest GPU),
        peak_rss_bytes (the largest rank), mfu, recording_share (of rank 0's time of training), sampler_share (of a core
        of a node): ratios of sums, never means of ratios.
    """
    read = usages([_timed(study, run) for run in runs], _WANTED)
    devices = [one for used in read for one in used if one.device]
    found = _peaks(devices, "memory_peak_bytes", "peak_memory_bytes")
    found |= _peaks([one for used in read for one in used], "rss_peak_bytes", "peak_rss_bytes")
    timed = [one for one in devices if "gpu_utilization" in one.numbers and one.seconds > 0]
    if timed:
        busy = sum(one.numbers["gpu_utilization"] * one.seconds for one in timed)
        found["gpu_utilisation"] = busy / sum(one.seconds for one in timed)
    powered = [(run, power) for run, used in zip(runs, read) if (power := _power(used)) is not None]
    if powered:
        energy = sum(power * float(run.steps.of_chief.sum()) for run, power in powered)
        found["power_w"] = energy / sum(float(run.steps.of_chief.sum()) for run, _ in powered)
        if study.unit == UNIT:
            found["energy_per_example_j"] = energy / sum(
                run.steps.examples * len(run.steps.number) for run, _ in powered
            )
    samplers = [
        (one.numbers["sampler_cores"], one.seconds) for used in read for one in used if "sampler_cores" in one.numbers
    ]
    if samplers:
        found["sampler_share"] = sum(cores * span for cores, span in samplers) / sum(span for _, span in samplers)
    return found | _utilisation(runs) | _recording(runs)


def _timed(study: Study, run: Run) -> Span:
    """While its timed steps were made."""
    begin, end = float(run.steps.start.min()), float((run.steps.start + run.steps.seconds).max())
    return Span(RunDir(study.folder / run.name).readings, begin, end)


def _power(used: Sequence[Usage]) -> float | None:
    """Watts of all GPUs of a run: their energy, counted or integrated, over the time."""
    # A GPU that several ranks share is read for each.
    watts = {one.device: one.numbers["power_w"] for one in used if one.device and "power_w" in one.numbers}
    return sum(watts.values()) if watts else None


def _peaks(used: Sequence[Usage], name: str, key: str) -> dict[str, float]:
    values = [one.numbers[name] for one in used if name in one.numbers]
    return {key: max(values)} if values else {}


def _recording(runs: Sequence[Run]) -> dict[str, float]:
    """Of the phase in which steps are made and recorded, the part that is recording."""
    phases = [run.result.get("phases_s", {}) for run in runs]
    if not all("record" in each for each in phases):
        return {}
    recording = sum(each["record"] for each in phases)
    return {
        "recording_share": recording / (recording + sum(each[name] for each in phases for name in ("train", "trace")))
    }


def _utilisation(runs: Sequence[Run]) -> dict[str, float]:
    """Model FLOPs utilisation: the operations that the timed steps need over those that the machine could have done."""
    done = could = 0.0
    for run in runs:
        per_example, peak = run.result.get("flops_per_example"), run.result.get("peak_flop_per_s")
        if not per_example or not peak:
            return {}
        done += per_example * run.steps.examples * len(run.steps.number)
        could += peak * float(run.steps.of_chief.sum())
    return {"mfu": done / could}

"""What is known of one run, as a document for programs: its steps, its GPUs, ranks and nodes, who holds it up, what was read."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TypedDict

from launch.record.files import read_end, read_lines
from launch.record.rundir import RunDir
from launch.submit import states
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
    begin, end = _add_steps(made, run, ranks)
    found = usage(run.readings, begin, end, {*_OF_GPU, *_OF_PROCESS, *_OF_HOST, *_OF_SAMPLER})
    throughput = made["steps"] and made["steps"]["throughput_examples_per_s"]
    return made | {
        "gpus": _gpus([one for one in found if one.device], throughput),
        "processes": _spread([one for one in found if one.rank is not None], _OF_PROCESS),
        "hosts": _spread([one for one in found if one.rank is None and one.device is None], _OF_HOST),
        "recording": _recording(run, plan, found),
    }


def _add_steps(made: dict[str, Any], run: RunDir, ranks: int) -> tuple[float | None, float | None]:
    """Put in what the steps say; return when the timed ones began and ended."""
    try:
        from profiling.study import steps, stragglers
    except ModuleNotFoundError as error:  # what was read can be shown all the same
        made["why_no_steps"] = f"{error.name} is not installed"
        return None, None
    try:
        timed = steps.read(run, ranks)
    except steps.Unusable as error:
        made["why_no_steps"] = str(error)
        return None, None
    made["steps"] = steps.summary(timed)
    made["stragglers"] = [asdict(one) for one in stragglers.find(run, timed)]
    return float(timed.start.min()), float((timed.start + timed.seconds).max())


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
    left_out = not found and any(run.readings.glob("node*-attempt*"))  # nothing here can read them
    made: dict[str, Any] = {
        "hz": plan.get("sample_hz"),
        "readings": None if left_out else sum(one.readings for one in found),
        "nodes": len(nodes),
        "troubles": troubles,
        "errors": str(errors) if read_end(errors, 1) else None,
    }
    return made | _spread(nodes, _OF_SAMPLER)

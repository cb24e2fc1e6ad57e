"""What is known about one run, as a document for programs: steps, GPUs, ranks, nodes, stragglers, recording."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from launch.record.contents import PlanRecord
from launch.record.files import read_end
from launch.record.performance import figures
from launch.record.rundir import RunDir
from launch.submit import states
from launch.submit.states import Known
from profiling import text
from profiling.telemetry import coverage, notes, readings
from profiling.telemetry.doubts import doubts
from profiling.telemetry.notes import Notes
from profiling.telemetry.usage import POWER, Usage, cards, usage


def state(run: RunDir) -> Known:
    """Return the state of a run: whether it is running, and how it ended."""
    (known,), _ = states.look([run.path])
    return known


def document(run: RunDir, known: Known) -> dict[str, Any]:
    """Return what is known about a run; docs/readings.md describes the keys."""
    plan = run.record()
    ranks = plan["nodes"] * plan["ranks_per_node"]
    of_steps, span = _steps(run, ranks)
    found = usage(run.readings, *span, {POWER, *_OF_GPU, *_OF_PROCESS, *_OF_HOST, *_OF_SAMPLER})
    noted = notes.read(run)
    of_result = run.result() or {}
    missing = coverage.without_gpus(found, noted, of_result.get("nodes", plan["nodes"]), plan)
    made = figures.of_result(of_result)
    throughput, unit = (made.value, made.unit) if made and of_result.get("throughput") else (None, None)
    if throughput is None and of_steps["steps"]:
        throughput, unit = of_steps["steps"]["throughput"], of_steps["steps"]["unit"]
    # What the launcher and `status` show: the loop's own figure, or one from records that include compiled steps.
    said = made.value if made and throughput and unit == made.unit else None
    if said is None or not throughput or abs(said / throughput - 1) <= text.ONE_NUMBER:
        said = None
    return {
        "format": 1,
        "run": str(run.path),
        "workload": plan["workload"],
        "training": plan.get("kind", "workload") == "workload",
        "state": known.state,
        "nodes": plan["nodes"],
        "ranks": ranks,
        "attempts": known.attempts,
        "throughput": throughput,
        "unit": unit,
        "throughput_said": said,
        "metrics": of_result.get("metrics") or {},
        "units": of_result.get("units") or {},
        "troubles": of_result.get("troubles") or [],
        **of_steps,
        "gpus": _gpus(found, noted, throughput if unit == figures.UNIT else None, missing),
        "processes": _spread([used for used in found if used.rank is not None], _OF_PROCESS),
        "hosts": _spread([used for used in found if used.rank is None and used.device is None], _OF_HOST),
        "recording": _recording(run, plan, found, noted, known.under_way),
    }


def _steps(run: RunDir, ranks: int) -> tuple[dict[str, Any], tuple[float | None, float | None]]:
    """Return a summary of the steps, and when the timed ones began and ended."""
    none = {"steps": None, "stragglers": [], "why_no_steps": None}
    try:
        from profiling.study import step_summary, steps, stragglers
    except ModuleNotFoundError as error:  # the readings can still be shown
        return none | {"why_no_steps": f"{error.name} is not installed"}, (None, None)
    try:
        timed = steps.read(run, ranks)
    except steps.Unusable as error:
        return none | {"why_no_steps": str(error)}, (None, None)
    late = [asdict(straggler) for straggler in stragglers.find(run, timed)]
    return none | {"steps": step_summary.summary(timed), "stragglers": late}, timed.span


_OF_HOST = (
    *("host_cpu_cores", "host_available_least_bytes", "network_tx_mib_per_s", "infiniband_tx_mib_per_s"),
    *("package_energy_j", "dram_energy_j"),
)
_OF_GPU = (
    *("gpu_utilization", "energy_j", "integrated_energy_j", "memory_peak_bytes", "sm_clock_mhz", "temperature_peak_c"),
    *("throttled_share", "throttled_power_s", "throttled_thermal_s", "pcie_rx_mib_per_s", "nvlink_tx_mib_per_s"),
    *("sm_activity", "sm_occupancy", "tensor_activity", "dram_activity", "module_power_w"),
    *("gpm_pcie_rx_mib_per_s", "gpm_nvlink_tx_mib_per_s", "ecc_uncorrected"),
)
_OF_PROCESS = ("cpu_cores", "rss_peak_bytes")
_OF_SAMPLER = ("sampler_cores", "sampling_s")


def _spread(found: Sequence[Usage], names: Sequence[str]) -> dict[str, Any]:
    """Return the mean of each number that any usage has, and where it is least and greatest."""
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


def _gpus(used: Sequence[Usage], noted: Notes, throughput: float | None, missing: Sequence[int]) -> dict[str, Any]:
    """Summarise the GPUs that the ranks hold. If these are instances (MIG), the cards of which they are a part supply
    what only a whole card reports. If GPUs of some nodes are ``missing``, the energy per example is not known."""
    found = cards(used)
    held = [used for used in found if used.device not in noted.whole]
    spread = _spread(found, (POWER, *_OF_GPU)) | _spread(held, ("memory_peak_bytes",))
    whole = [used for used in found if used.device in noted.whole]
    if whole:
        spread["whole_cards"] = len(whole)
    powered = [used for used in found if POWER in used.numbers]
    spread["doubts"] = doubts(found, noted.whole, missing)
    if powered:
        spread["power_of_all_w"] = sum(used.numbers[POWER] for used in powered)
        # A counter of energy is more exact than readings of power now and then.
        spread["energy_is"] = " and ".join(sorted({used.power.way for used in powered if used.power}))
        if throughput and not missing:
            spread["joules_per_example"] = sum(used.energised_w for used in powered) / throughput
    return spread


def _recording(run: RunDir, plan: PlanRecord, found: Sequence[Usage], noted: Notes, under_way: bool) -> dict[str, Any]:
    """Return what was read, what could not be read, and what recording cost."""
    nodes = [used for used in found if used.rank is None and used.device is None]
    troubles = Counter(noted.troubles)
    troubles.update(f"readings/{path.name} is damaged and left out" for path in readings.parquet(run.readings).damaged)
    (covered,) = coverage.read([run])
    errors = run.sampler_errors
    unread = not found and any(run.readings.glob("node*-attempt*"))  # no installed package can read them
    return {
        "hz": plan.get("sample_hz"),
        "readings": None if unread else sum(used.readings for used in found),
        "nodes": len(nodes),
        "troubles": troubles,
        "gaps": coverage.gaps(run, plan["nodes"], plan.get("sample_hz") or 0.0, noted, covered, under_way),
        "errors": str(errors) if read_end(errors, 1) else None,
        **_spread(nodes, _OF_SAMPLER),
    }

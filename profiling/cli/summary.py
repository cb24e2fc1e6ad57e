"""python -m profiling summary RUN: one screen on a run: its steps, throughput, GPUs and stragglers."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from launch.cli.names import Named
from launch.plan import options
from launch.record.rundir import RunDir
from launch.record.table import aligned
from profiling import text
from profiling.cli import overview
from profiling.cli.costed import Costed
from profiling.study import cost


@dataclass(frozen=True)
class Options(Named, Costed):
    """The options of the verb."""

    json: bool = False  # all that is known, as JSON


def run(argv: Sequence[str]) -> str:
    """Return what the verb prints."""
    (path,), chosen = options.with_files(Options, argv, ["RUN"])
    run = RunDir.open(path)
    tariff = chosen.tariff
    document = overview.document(run, overview.state(run))
    if tariff:
        plan = run.record()
        gpus = plan.get("gpus_per_node", 0) * plan["nodes"]
        costs = cost.of_runs([run], tariff)[0]
        document["cost"] = {"tariff": asdict(tariff), **costs, "notes": tariff.notes(gpus)}
    return json.dumps(document, indent=1) if chosen.json else as_text(document)


def as_text(document: dict[str, Any]) -> str:
    """Return the summary of a run, which fits on one screen."""
    shape = f"{text.plural(document['nodes'], 'node')}, {text.plural(document['ranks'], 'rank')}"
    attempts = f", {document['attempts']} attempts" if document["attempts"] > 1 else ""
    rows = [("run", f"{document['run']}: {document['state']}, {shape}{attempts}"), ("workload", document["workload"])]
    if document["throughput"] is not None:
        rows.append(("throughput", f"{text.number(document['throughput'])} {document['unit']}"))
    if (said := document["throughput_said"]) is not None:
        rows.append(("", f"{text.number(said)} {document['unit']} {_OTHERWISE}"))
    rows += _figures(document)
    if document["steps"]:
        rows += _steps(document["steps"])
    elif document["throughput"] is None or document["training"]:
        rows.append(("steps", f"none timed: {document['why_no_steps']}"))
    late = document["stragglers"]
    rows += [("straggler", _straggler(straggler)) for straggler in late[:3]]
    if len(late) > 3:
        rows.append(("", f"and {len(late) - 3} more: --json names them"))
    spreads = [
        _spread(title, document[group][name], form) for group, name, title, form in _SHOWN if name in document[group]
    ]
    table = aligned([["", "mean", "least", "", "greatest", ""], *spreads], "<>") if spreads else ""
    return "\n\n".join(filter(None, [aligned(rows), table, "\n".join(_notes(document))]))


def _straggler(straggler: dict[str, Any]) -> str:
    from profiling.study import stragglers  # needs NumPy, as the steps did

    clock = time.strftime("%H:%M:%S", time.localtime(straggler["since"]))
    return stragglers.as_text(stragglers.Straggler(**straggler), clock)


def _steps(steps: dict[str, Any]) -> list[tuple[str, str]]:
    left_out = ", ".join(f"{count} {reason}" for reason, count in steps["left_out"].items())
    interval, every = steps["median_interval"], steps["interval_of_every"]
    sure = f"95 % {text.span(interval['low'], interval['high'], text.milliseconds)}" if interval else ""
    if interval and every > 1:
        sure += f" from every {({2: 'second', 3: 'third'}).get(every, f'{every}th')} step, as neighbours are alike"
    rows = [
        ("steps", f"{steps['timed']} timed" + (f"; left out: {left_out}" if left_out else "")),
        (
            "step",
            f"{text.milliseconds(steps['median_seconds'])} ms median, {sure or 'too few for an interval'}; "
            f"1 of 100 above {text.milliseconds(steps['worst_hundredth_seconds'])} ms",
        ),
    ]
    if steps["input_share"] is not None:
        rows.append(("input", f"{text.percent(steps['input_share'])} of the time is waiting for batches"))
    if steps["waiting_share"] is not None:
        rows.append(
            (
                "imbalance",
                f"{text.percent(steps['waiting_share'])} of the time is waiting for other ranks and the update; load "
                f"balance {steps['load_balance']:.3f} (mean over slowest, rank {steps['slowest_rank']})",
            )
        )
    return rows + [("odd", doubt) for doubt in steps["doubts"]]


def _figures(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Return rows for what a program printed or recorded about itself; a workload has its own tables."""
    if document["training"]:
        return []
    shown = {name: value for name, value in document["metrics"].items() if value != document["throughput"]}
    units = {name: f" {unit}" for name, unit in document["units"].items() if unit != name}
    rows = [
        (name.replace("_", " "), f"{text.number(value)}{units.get(name, '')}")
        for name, value in shown.items()
        if isinstance(value, int | float)
    ]
    return rows + [("not known", trouble) for trouble in document["troubles"]]


def _gib(value: float) -> str:
    return f"{value / 2**30:.2f}"


_SHOWN: tuple[tuple[str, str, str, text.Form], ...] = (
    ("gpus", "gpu_utilization", "GPU utilisation", text.percent),
    ("gpus", "sm_activity", "SM activity", text.percent),
    ("gpus", "sm_occupancy", "SM occupancy", text.percent),
    ("gpus", "tensor_activity", "tensor activity", text.percent),
    ("gpus", "dram_activity", "memory bandwidth in use", text.percent),
    ("gpus", "power_w", "GPU power [W]", text.number),
    ("gpus", "module_power_w", "power of the GPU's module [W]", text.number),
    ("gpus", "memory_peak_bytes", "GPU memory, peak [GiB]", _gib),
    ("gpus", "sm_clock_mhz", "SM clock [MHz]", "{:.0f}".format),
    ("gpus", "temperature_peak_c", "GPU temperature, peak [C]", "{:.0f}".format),
    ("gpus", "throttled_power_s", "throttled for power [s]", text.number),
    ("gpus", "throttled_thermal_s", "throttled for heat [s]", text.number),
    ("gpus", "throttled_share", "clocks held down, of readings", text.percent),
    ("gpus", "nvlink_tx_mib_per_s", "NVLink sent [MiB/s]", text.number),
    ("gpus", "pcie_rx_mib_per_s", "PCIe received [MiB/s]", text.number),
    ("gpus", "gpm_nvlink_tx_mib_per_s", "NVLink sent, by GPM [MiB/s]", text.number),
    ("gpus", "gpm_pcie_rx_mib_per_s", "PCIe received, by GPM [MiB/s]", text.number),
    ("gpus", "ecc_uncorrected", "memory errors, uncorrected", text.number),
    ("processes", "cpu_cores", "CPU per rank [cores]", "{:.2f}".format),
    ("processes", "rss_peak_bytes", "memory per rank, peak [GiB]", _gib),
    ("hosts", "host_cpu_cores", "CPU per node [cores]", "{:.2f}".format),
    ("hosts", "host_available_least_bytes", "memory left per node [GiB]", _gib),
    ("hosts", "network_tx_mib_per_s", "network sent [MiB/s]", text.number),
    ("hosts", "infiniband_tx_mib_per_s", "InfiniBand sent [MiB/s]", text.number),
    ("hosts", "package_energy_j", "energy of the processors [J]", text.number),
)


def _spread(title: str, spread: dict[str, Any], form: text.Form) -> list[str]:
    line = [title, form(spread["mean"])]
    for of in (spread["least"], spread["greatest"]):
        line += [form(of["value"]), f"rank {of['rank']}" if of["rank"] is not None else f"node {of['node']}"]
    return line


def _notes(document: dict[str, Any]) -> list[str]:
    gpus, recording, notes = document["gpus"], document["recording"], []
    if "power_of_all_w" in gpus:
        each = f", {text.number(gpus['joules_per_example'])} J per example" if "joules_per_example" in gpus else ""
        power = text.number(gpus["power_of_all_w"])
        count = f"{gpus['whole_cards']} whole card" if "whole_cards" in gpus else f"{gpus['count']} GPU"
        many = "s" * (gpus.get("whole_cards", gpus["count"]) != 1)
        notes.append(f"{count}{many}: {power} W together{each} ({_WAYS.get(gpus['energy_is'], gpus['energy_is'])})")
    if costs := document.get("cost"):
        notes += [f"of the whole run: {_costs(costs)}", *costs["notes"]]
    notes += _some(gpus["doubts"], "gpus.doubts")
    if "sampler_cores" in recording:
        notes.append(
            f"{recording['readings']} readings at {recording['hz'] or 0:g} Hz on "
            f"{text.plural(recording['nodes'], 'node')} cost {recording['sampler_cores']['mean']:.2%} of a core each, "
            f"{text.milliseconds(recording['sampling_s']['mean'])} ms per reading"
        )
    elif recording["readings"] == 0:
        notes.append("no readings" + (": the run was made with --sample-hz 0" if recording["hz"] == 0 else ""))
    notes += _some(recording["gaps"], "recording.gaps")
    notes += [f"not read: {why} ({count} times)" for why, count in list(recording["troubles"].items())[:5]]
    if recording["errors"]:
        notes.append(f"a sampler has failed: see {recording['errors']}")
    return notes


_OTHERWISE = (
    "is what launch and status show: it is of other steps, as warm-up or compiled ones, which are left out here, count "
    "there"
)
_WAYS = {
    "counted": "energy counted",
    "integrated": "energy integrated",
    "read": "from readings of power",
}


def _costs(costs: dict[str, Any]) -> str:
    tariff = costs["tariff"]
    units = {"energy_kwh": "kWh of GPU energy", "carbon_kg": "kg of CO2e", "price": tariff["currency"] or "in price"}
    asked = {"CO2e": ("carbon_kg", tariff["kg_per_kwh"]), "price": ("price", tariff["price"])}
    unknown = [name for name, (key, given) in asked.items() if given is not None and key not in costs]
    known = [f"{text.number(costs[key])} {unit}" for key, unit in units.items() if key in costs]
    return "; ".join([", ".join(known)] * bool(known) + [f"not known: {', '.join(unknown)}"] * bool(unknown))


def _some(lines: list[str], key: str) -> list[str]:
    return [*lines[:5], *([f"and {len(lines) - 5} more such lines: {key} in --json"] if len(lines) > 5 else [])]

"""python -m profiling summary RUN: one screen on one run: its steps, its throughput, its GPUs, and who holds it up."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from launch.record.rundir import RunDir
from profiling import text
from profiling.cli import arguments, overview

_GIB = 2**30


@dataclass(frozen=True)
class Options:
    """The options of the verb."""

    json: bool = False  # all that is known, for programs


def run(argv: Sequence[str]) -> str:
    """What the verb prints; the words behind it are RUN and options.

    Raises
    ------
    Refusal
        Bad words, or a folder that is no run.
    """
    (path,), options = arguments.parse(Options, argv, ["RUN"])
    made = overview.document(RunDir.open(path))
    return json.dumps(made, indent=1) if options.json else as_text(made)


def as_text(made: dict[str, Any]) -> str:
    """One screen."""
    shape = f"{made['nodes']} node{'s' * (made['nodes'] > 1)}, {made['ranks']} rank{'s' * (made['ranks'] > 1)}"
    attempts = f", {made['attempts']} attempts" if made["attempts"] > 1 else ""
    rows = [("run", f"{made['run']}: {made['state']}, {shape}{attempts}"), ("workload", made["workload"])]
    rows += _step_rows(made["steps"]) if made["steps"] else [("steps", f"none timed: {made['why_no_steps']}")]
    rows += [("straggler", _straggler(one)) for one in made["stragglers"][:3]]
    if len(made["stragglers"]) > 3:
        rows.append(("", f"and {len(made['stragglers']) - 3} more: --json names them"))
    width = max(len(name) for name, _ in rows)
    parts = ["\n".join(f"{name:<{width}}  {value}" for name, value in rows)]
    table = _table(made)
    if table:
        width = max(len(title) for title, *_ in table)
        parts.append(
            text.aligned(
                ["".ljust(width), "mean", "least", "", "greatest", ""], [[t.ljust(width), *row] for t, *row in table]
            )
        )
    parts.append("\n".join(_notes(made)))
    return "\n\n".join(filter(None, parts))


def _straggler(one: dict[str, Any]) -> str:
    from profiling.study import stragglers  # needs NumPy, as the steps that have told of it do

    return stragglers.as_text(stragglers.Straggler(**one), lambda at: time.strftime("%H:%M:%S", time.localtime(at)))


def _step_rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    left_out = ", ".join(f"{count} {reason}" for reason, count in found["left_out"].items())
    interval = found["median_interval"]
    said = (
        f"95 % {text.span(1e3 * interval['low'], 1e3 * interval['high'])}"
        + (
            f" from every {_ordinal(found['interval_of_every'])} step, as neighbours are alike"
            if found["interval_of_every"] > 1
            else ""
        )
        if interval
        else "too few for an interval"
    )
    rows = [
        ("steps", f"{found['timed']} timed" + (f"; left out: {left_out}" if left_out else "")),
        (
            "step",
            f"{text.number(1e3 * found['median_seconds'])} ms median, {said}; 1 of 100 above {text.number(1e3 * found['worst_hundredth_seconds'])} ms",
        ),
        ("throughput", f"{text.number(found['throughput'])} {found['unit']}"),
    ]
    if found["input_share"] is not None:
        rows.append(("input", f"{text.percent(found['input_share'])} of the time is waiting for batches"))
    if found["waiting_share"] is not None:
        waiting = f"{text.percent(found['waiting_share'])} of the time is waiting for other ranks and the update"
        balance = f"load balance {found['load_balance']:.3f} (mean by slowest, rank {found['slowest_rank']})"
        rows.append(("imbalance", f"{waiting}; {balance}"))
    return rows + [("odd", doubt) for doubt in found["doubts"]]


_SHOWN = (
    ("gpus", "gpu_utilization", "GPU utilisation", text.percent),
    ("gpus", "power_w", "GPU power [W]", text.number),
    ("gpus", "memory_peak_bytes", "GPU memory, peak [GiB]", lambda value: f"{value / _GIB:.2f}"),
    ("gpus", "sm_clock_mhz", "SM clock [MHz]", lambda value: f"{value:.0f}"),
    ("gpus", "temperature_peak_c", "GPU temperature, peak [C]", lambda value: f"{value:.0f}"),
    ("gpus", "throttled_power_s", "throttled for power [s]", text.number),
    ("gpus", "throttled_thermal_s", "throttled for heat [s]", text.number),
    ("gpus", "throttled_share", "clocks held down, of readings", text.percent),
    ("gpus", "nvlink_tx_mib_per_s", "NVLink sent [MiB/s]", text.number),
    ("gpus", "pcie_rx_mib_per_s", "PCIe received [MiB/s]", text.number),
    ("gpus", "ecc_uncorrected", "memory errors, uncorrected", text.number),
    ("processes", "cpu_cores", "CPU of a rank [cores]", lambda value: f"{value:.2f}"),
    ("processes", "rss_peak_bytes", "memory of a rank, peak [GiB]", lambda value: f"{value / _GIB:.2f}"),
    ("hosts", "host_cpu_cores", "CPU of a node [cores]", lambda value: f"{value:.2f}"),
    ("hosts", "host_available_least_bytes", "memory left on a node [GiB]", lambda value: f"{value / _GIB:.2f}"),
    ("hosts", "network_tx_mib_per_s", "network sent [MiB/s]", text.number),
    ("hosts", "infiniband_tx_mib_per_s", "InfiniBand sent [MiB/s]", text.number),
    ("hosts", "package_energy_j", "processors' energy [J]", text.number),
)


def _table(made: dict[str, Any]) -> list[list[str]]:
    lines = []
    for group, name, title, form in _SHOWN:
        if name in made[group]:
            spread = made[group][name]
            line = [title, form(spread["mean"])]
            for word in ("least", "greatest"):
                of = spread[word]
                line += [form(of["value"]), f"rank {of['rank']}" if of["rank"] is not None else f"node {of['node']}"]
            lines.append(line)
    return lines


def _notes(made: dict[str, Any]) -> list[str]:
    gpus, recording, notes = made["gpus"], made["recording"], []
    if "power_of_all_w" in gpus:
        each = f", {text.number(gpus['joules_per_example'])} J an example" if "joules_per_example" in gpus else ""
        notes.append(
            f"{gpus['count']} GPUs use {text.number(gpus['power_of_all_w'])} W together{each} (energy {gpus['energy_is']})"
        )
    if "sampler_cores" in recording:
        notes.append(
            f"{recording['readings']} readings at {recording['hz'] or 0:g} Hz on {recording['nodes']} node{'s' * (recording['nodes'] > 1)} cost "
            f"{recording['sampler_cores']['mean']:.2%} of a core each, {1e3 * recording['sampling_s']['mean']:.2f} ms a time"
        )
    elif recording["readings"] == 0:
        notes.append("no readings" + (": the run was made with --sample-hz 0" if recording["hz"] == 0 else ""))
    notes += [f"not read: {said} ({count} times)" for said, count in list(recording["troubles"].items())[:5]]
    if recording["errors"]:
        notes.append(f"a sampler has failed: see {recording['errors']}")
    return notes


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")

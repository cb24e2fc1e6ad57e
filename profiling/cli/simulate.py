"""python -m profiling simulate RUN|STUDY|MODEL --nodes 1,16,256: what a step would take there, from its layers and the links."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from launch.errors import Refusal
from launch.plan import site as sites
from launch.plan.site import Site
from launch.record.files import read_json
from launch.record.rundir import RunDir
from profiling import text
from profiling.cli import arguments
from profiling.simulation import description, simulator, step_model
from profiling.simulation.allreduce import ALGORITHMS, Link, Links, Machine
from profiling.simulation.simulator import Simulated
from profiling.simulation.step_model import StepModel
from profiling.study import runs, tables

PROTOCOLS = ((1.0, {"inter_node": 14.0, "intra_node": 3.4}), (0.5, {"inter_node": 2.7, "intra_node": 0.6}))
"""Share of a link's speed and latency of a message in us where a site does not say it: NCCL's protocols Simple and LL in its
own model of a ring over the network and NVLink (src/graph/tuning.cc, hwLat), of which it takes the faster for each message."""
MOST_RANKS = 10_000_000


@dataclass(frozen=True)
class Options:
    """The options of the verb."""

    nodes: str  # how many, as in 1,16,256,4560
    site: str | None = None  # whose links: a site, the path of a site file, summit or piz-daint; by default those of
    # the run or of the description
    ranks_per_node: int | None = None  # by default those of --site, else as in the run or the description
    overlap: bool | None = None  # send gradients while the backward pass goes on; our own loop sends them after it
    fusion_mib: float | None = None  # of a message of gradients at most: HOROVOD_FUSION_THRESHOLD
    cycle_ms: float | None = None  # between two looks at what is ready: HOROVOD_CYCLE_TIME
    allreduce: Literal[ALGORITHMS] | None = None  # how; auto is the fastest for each message
    jitter: float = 1.0  # times the spread of ranks and steps that was measured or described; 0: all alike
    seed: int = 0  # of the random numbers
    series: str | None = None  # which series, where the study holds several
    json: bool = False  # print JSON


def run(argv: Sequence[str]) -> str:
    """What the verb prints; the words behind it are RUN, STUDY or MODEL, and options.

    Raises
    ------
    Refusal
        Bad words, a run that does not tell its step, a site that does not tell its links.
    """
    (path,), options = arguments.parse(Options, argv, ["RUN"])
    nodes = arguments.counts("--nodes", options.nodes)
    for name, least in (("jitter", 0), ("fusion_mib", 0), ("cycle_ms", 0), ("ranks_per_node", 1)):
        value = getattr(options, name)
        if value is not None and not least <= value < float("inf"):
            raise Refusal(f"--{name.replace('_', '-')} is {value:g}: give a number of {least} or more")
    model, measured, plan = _source(path, options.series)
    model = step_model.sending(
        model,
        overlap=options.overlap,
        fusion_mib=options.fusion_mib,
        cycle_ms=options.cycle_ms,
        allreduce=options.allreduce,
    )
    site = _site(options.site or model.site or plan.get("site"), path)
    of_site = site.ranks_per_node or site.gpus_per_node
    ranks = options.ranks_per_node or (of_site if options.site else None) or model.ranks_per_node
    ranks = ranks or plan.get("ranks_per_node") or of_site or 1
    if max(nodes) * ranks > MOST_RANKS:
        raise Refusal(f"{max(nodes)} nodes of {ranks} ranks are more than {MOST_RANKS} ranks: give fewer nodes")
    ways, said = links(site)
    found = [simulator.simulate(model, Machine(each, ranks, ways), options.jitter, options.seed) for each in nodes]
    notes = [said, *model.notes]
    document = as_json(path, model, site, options, found, notes, measured)
    return json.dumps(document, indent=1, ensure_ascii=False) if options.json else as_text(document)


def links(site: Site) -> tuple[tuple[Links, ...], str]:
    """The links between and within the nodes of a site, and what is said of them.

    Raises
    ------
    Refusal
        If the site does not tell how fast its nodes are connected.
    """
    known = site.network
    if "inter_node_gbit_per_s" not in known:
        raise Refusal(
            f"site {site.name} does not say how fast its links are: give --site FILE with a table [network], of which "
            f"inter_node_gbit_per_s is needed, or --site {' or '.join(sorted(each.stem for each in description.SITES.glob('*.toml')))}"
        )
    speeds, said = {}, []
    for where, word in (("inter_node", "between nodes"), ("intra_node", "within a node")):
        speeds[where] = known.get(f"{where}_gbit_per_s", known["inter_node_gbit_per_s"])
        doubt = "" if f"{where}_gbit_per_s" in known else " (not known: taken as between nodes)"
        latency = known.get(f"{where}_latency_us")
        says = "latency as in NCCL's own model" if latency is None else f"{text.number(latency)} us"
        said.append(f"{word} {text.number(speeds[where])} Gbit/s{doubt}, {says}")
    ways = []
    for share, latencies in PROTOCOLS:
        link = {
            where: Link(
                known.get(f"{where}_latency_us", latencies[where]) / 1e6,
                speeds[where] * 1e9 / 8 * (1.0 if f"{where}_latency_us" in known else share),
            )
            for where in latencies
        }
        ways.append(Links(link["inter_node"], link["intra_node"]))
    return tuple(dict.fromkeys(ways)), f"links of {site.name}: {'; '.join(said)}"


def _source(path: Path, series: str | None) -> tuple[StepModel, dict[int, float], dict[str, Any]]:
    """The step, the throughput that was measured by number of ranks, and the plan of the run behind it."""
    if (path / "run.json").is_file():
        return step_model.of_run(RunDir.open(path)), {}, read_json(path / "run.json") or {}
    if not runs.is_study(path):
        return description.read(path), {}, {}
    study = tables.choose(runs.read(path), series)
    fewest = min(run.ranks for run in study.runs)
    repeats = sorted((run for run in study.runs if run.ranks == fewest), key=lambda run: run.throughput)
    chosen = repeats[len(repeats) // 2]  # neither the fastest nor the slowest
    model = step_model.of_run(RunDir(study.folder / chosen.name))
    rates: dict[int, list[float]] = {}
    for run in study.runs:
        rates.setdefault(run.ranks, []).append(run.throughput)
    measured = {ranks: len(each) / sum(1 / rate for rate in each) for ranks, each in rates.items()}
    return model, measured, chosen.plan


def _site(name: str | None, path: Path) -> Site:
    if name is None:
        raise Refusal(f"{path} does not say on which machine: give --site NAME, or the path of a site file")
    packaged = description.SITES / f"{name}.toml"
    return sites.load(str(packaged) if packaged.is_file() else name)


def as_json(
    path: Path,
    model: StepModel,
    site: Site,
    options: Options,
    found: Sequence[Simulated],
    notes: Sequence[str],
    measured: dict[int, float],
) -> dict[str, Any]:
    """The result for other programs; its keys are described in docs/simulation.md."""
    rows = [asdict(each) for each in found]
    for row in rows:
        if row["ranks"] in measured:
            row["measured"] = measured[row["ranks"]]
            row["relative_error"] = row["throughput"] / row["measured"] - 1
    return {
        "format": 1,
        "label": "simulated, not measured",
        "source": str(path),
        "name": model.name,
        "unit": model.unit,
        "site": site.name,
        "network": site.network,
        "batch_per_rank": model.batch,
        "gradients": len(model.sizes),
        "gradient_bytes": float(model.sizes.sum()),
        "compute_seconds": model.compute,
        "update_seconds": model.update,
        "transport": asdict(model.transport),
        "jitter": options.jitter,
        "seed": options.seed,
        "notes": list(notes),
        "rows": rows,
    }


def as_text(document: dict[str, Any]) -> str:
    """A table, and what it rests on."""
    compared = any("measured" in row for row in document["rows"])
    header = ["nodes", "ranks", "step [ms]", "5..95 % of steps", "slowest rank [ms]", "communication [ms]", "messages", f"throughput [{document['unit']}]", "efficiency"]  # fmt: skip
    rows = [
        [
            str(row["nodes"]),
            str(row["ranks"]),
            text.number(1e3 * row["step"]),
            text.span(1e3 * row["step_low"], 1e3 * row["step_high"]),
            f"{1e3 * row['slowest']:.2f}",
            f"{1e3 * row['communication']:.2f}",
            str(row["messages"]),
            text.number(row["throughput"]),
            text.percent(row["efficiency"]),
            *([text.number(row["measured"]), f"{row['relative_error']:+.1%}"] if "measured" in row else ["", ""]),
        ][: 11 if compared else 9]
        for row in document["rows"]
    ]
    how = document["transport"]
    sent = "while the backward pass goes on" if how["overlap"] else "after the backward pass"
    return "\n".join(
        [
            f"{document['name']}: SIMULATED, not measured (weak scaling, batch {text.number(document['batch_per_rank'])} of a rank)",
            "",
            text.aligned([*header, "measured", "error"][: 11 if compared else 9], rows),
            "",
            f"a rank alone: {text.number(1e3 * document['compute_seconds'])} ms until its gradients are ready, "
            f"{text.number(1e3 * document['update_seconds'])} ms for the update",
            f"{document['gradients']} gradients, {text.number(document['gradient_bytes'] / 1e6, 4)} MB, are sent {sent}, in messages of at most "
            f"{text.number(how['fusion_mib'])} MiB; allreduce: {how['allreduce']}",
            *document["notes"],
        ]
    )

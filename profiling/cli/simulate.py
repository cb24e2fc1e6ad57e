"""python -m profiling simulate RUN|STUDY|MODEL --nodes 1,16,256: what a step would take, from its layers and links."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from launch.cli.names import Named
from launch.errors import Refusal
from launch.plan import options
from launch.plan import site as sites
from launch.plan.site import Site
from launch.plan.typed import Count, Natural, NotNegative
from launch.record.rundir import RunDir
from launch.record.study import is_study
from profiling import text
from profiling.cli import inputs
from profiling.simulation import description, simulator, step_model
from profiling.simulation.allreduce import Algorithm, Cluster, Link, Links
from profiling.simulation.step_model import StepModel
from profiling.study import tables
from profiling.study.tables import Point

PROTOCOLS = ((1.0, {"inter_node": 14.0, "intra_node": 3.4}), (0.5, {"inter_node": 2.7, "intra_node": 0.6}))
"""For each protocol, the share of a link's speed that it reaches and the latency of a message in us, for sites that do
not give a latency. The values are those of NCCL's protocols Simple and LL in its own model of a ring over the network
and NVLink (src/graph/tuning.cc, hwLat); NCCL uses the faster protocol for each message."""
MOST_RANKS = 10_000_000


@dataclass(frozen=True)
class Options(Named):
    """The options of the verb."""

    nodes: tuple[Count, ...] = field(metadata={"separator": ","})  # how many, as in 1,16,256,4560
    site: str | None = None  # whose links: a site, the path of a site file, summit or piz-daint; by default those of
    # the run or of the description
    ranks_per_node: Count | None = None  # by default those of --site, else as in the run or the description
    overlap: bool | None = None  # send gradients while the backward pass goes on; our own loop sends them after it
    fusion_mib: NotNegative | None = None  # largest message of gradients: HOROVOD_FUSION_THRESHOLD
    cycle_ms: NotNegative | None = None  # interval at which ready gradients are collected: HOROVOD_CYCLE_TIME
    allreduce: Algorithm | None = None  # how; auto is the fastest for each message
    jitter: NotNegative = 1.0  # times the spread of ranks and steps that was measured or described; 0: all alike
    seed: Natural = 0  # of the random numbers
    series: str | None = None  # which series, if the study has several
    json: bool = False  # print JSON

    def path(self, word: str) -> Path:
        """Return the path for a word, as for all verbs; the name of a published model stays as it is."""
        try:
            return super().path(word)
        except Refusal:
            if description.is_published(word):
                return Path(word)
            raise


def run(argv: Sequence[str]) -> str:
    """Return what the verb prints."""
    (path,), chosen = options.with_files(Options, argv, ["RUN|STUDY|MODEL"])
    model, measured, plan = _source(path, chosen.series)
    model = step_model.sending(
        model,
        overlap=chosen.overlap,
        fusion_mib=chosen.fusion_mib,
        cycle_ms=chosen.cycle_ms,
        allreduce=chosen.allreduce,
    )
    site = _site(chosen.site or model.site or plan.get("site"), path)
    of_site = site.ranks_per_node or site.gpus_per_node
    ranks = chosen.ranks_per_node or (of_site if chosen.site else None) or model.ranks_per_node
    ranks = ranks or plan.get("ranks_per_node") or of_site or 1
    nodes = sorted(set(chosen.nodes))
    if nodes[-1] * ranks > MOST_RANKS:
        raise Refusal(f"{nodes[-1]} nodes of {ranks} ranks are more than {MOST_RANKS} ranks: give fewer nodes")
    ways, note = links(site)
    rows = [asdict(simulator.simulate(model, Cluster(n, ranks, ways), chosen.jitter, chosen.seed)) for n in nodes]
    own = (site.name, ranks) == (plan.get("site"), plan.get("ranks_per_node")) if plan else True
    for row in rows:
        if own and row["ranks"] in measured:
            row["measured"] = measured[row["ranks"]]
            row["relative_error"] = row["throughput"] / row["measured"] - 1
    document = {  # its keys are described in docs/simulation.md
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
        "jitter": chosen.jitter,
        "seed": chosen.seed,
        "notes": [note, *([] if own or not measured else [_apart(site, ranks, plan)]), *model.notes],
        "rows": rows,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) if chosen.json else as_text(document)


def links(site: Site) -> tuple[tuple[Links, ...], str]:
    """Return the links between and within the nodes of a site, and a note on them.

    Raises
    ------
    Refusal
        If the site file does not say how fast its nodes are connected.
    """
    known = site.network
    if "inter_node_gbit_per_s" not in known:
        packaged = " or ".join(sorted(path.stem for path in description.SITES.glob("*.toml")))
        raise Refusal(
            f"site {site.name} does not say how fast its links are: give --site FILE with a table [network], of which "
            f"inter_node_gbit_per_s is needed, or --site {packaged}"
        )
    speeds, words = {}, []
    for where, title in (("inter_node", "between nodes"), ("intra_node", "within a node")):
        speeds[where] = known.get(f"{where}_gbit_per_s", known["inter_node_gbit_per_s"])
        doubt = "" if f"{where}_gbit_per_s" in known else " (not known: taken as between nodes)"
        latency = known.get(f"{where}_latency_us")
        delay = "latency as in NCCL's own model" if latency is None else f"{text.number(latency)} us"
        words.append(f"{title} {text.number(speeds[where])} Gbit/s{doubt}, {delay}")
    ways = []
    for share, latencies in PROTOCOLS:
        between, within = (
            Link(
                known.get(f"{where}_latency_us", latency) / 1e6,
                speeds[where] * 1e9 / 8 * (1.0 if f"{where}_latency_us" in known else share),
            )
            for where, latency in latencies.items()
        )
        ways.append(Links(between, within))
    return tuple(dict.fromkeys(ways)), f"links of {site.name}: {'; '.join(words)}"


def _source(path: Path, series: str | None) -> tuple[StepModel, dict[int, float], Mapping[str, Any]]:
    """Return the model of a step, the measured throughput by number of ranks, and the plan of the run behind it."""
    if (path / "run.json").is_file():
        run = RunDir.open(path)
        return step_model.of_run(run), {}, run.record()
    if not is_study(path):
        return description.read(path), {}, {}
    study = tables.choose(inputs.study(path), series)
    points = [Point(ranks, tuple(run.throughput for run in runs)) for ranks, runs in study.by_ranks.items()]
    repeats = sorted(study.by_ranks[min(study.by_ranks)], key=lambda run: run.throughput)
    chosen = repeats[len(repeats) // 2]  # the repeat of median throughput
    measured = {point.workers: point.throughput for point in points}
    return step_model.of_run(chosen.directory), measured, chosen.plan


def _apart(site: Site, ranks: int, plan: Mapping[str, Any]) -> str:
    """Say why the measurements are not compared with the simulation."""
    there, here = (f"{text.plural(count, 'rank')} per node" for count in (plan["ranks_per_node"], ranks))
    return (
        f"not compared with what was measured: that was on {plan.get('site')}, {there}, and these are the links of "
        f"{site.name}, {here}"
    )


def _site(name: str | None, path: Path) -> Site:
    if name is None:
        raise Refusal(f"{path} does not say on which machine: give --site NAME, or the path of a site file")
    packaged = description.SITES / f"{name}.toml"
    return sites.load(str(packaged) if packaged.is_file() else name)


def as_text(document: dict[str, Any]) -> str:
    """Return the simulation as a table, and what it is based on."""
    columns = [
        ("nodes", text.value("nodes", str)),
        ("ranks", text.value("ranks", str)),
        ("step [ms]", text.value("step", text.milliseconds)),
        ("5..95 % of steps", text.bounds("step_low", "step_high", text.milliseconds)),
        ("slowest rank [ms]", text.value("slowest", lambda seconds: f"{1e3 * seconds:.2f}")),
        ("communication [ms]", text.value("communication", lambda seconds: f"{1e3 * seconds:.2f}")),
        ("messages", text.value("messages", str)),
        (f"throughput [{document['unit']}]", text.value("throughput")),
        ("efficiency", text.value("efficiency", text.percent)),
    ]
    if any("measured" in row for row in document["rows"]):
        columns += [("measured", text.value("measured")), ("error", text.value("relative_error", "{:+.1%}".format))]
    transport = document["transport"]
    sent = "while the backward pass goes on" if transport["overlap"] else "after the backward pass"
    batch, fusion, size = map(
        text.number, (document["batch_per_rank"], transport["fusion_mib"], document["gradient_bytes"] / 1e6)
    )
    return "\n".join(
        [
            f"{document['name']}: SIMULATED, not measured (weak scaling, batch {batch} per rank)",
            "",
            text.table(columns, document["rows"]),
            "",
            f"one rank alone: {text.milliseconds(document['compute_seconds'])} ms until its gradients are ready, "
            f"{text.milliseconds(document['update_seconds'])} ms for the update",
            f"{document['gradients']} gradients, {size} MB, are sent {sent}, in messages of at most {fusion} MiB; "
            f"allreduce: {transport['allreduce']}",
            *document["notes"],
        ]
    )

"""How far the simulator is from what was published: python -m tests.benchmarks.simulation

Prints the table of docs/simulation.md. No parameter was fitted to any of these points.
"""

from pathlib import Path

from launch.plan import site
from profiling import text
from profiling.cli import simulate
from profiling.simulation import description, simulator
from profiling.simulation.allreduce import Cluster

POINTS = (
    ("deeplab-summit", 4560, 0.907),
    ("tiramisu-piz-daint", 5300, 0.790),
    ("inception3-uber", 128, 0.90),
    ("resnet101-uber", 128, 0.90),
    ("vgg16-uber", 128, 0.68),
    ("resnet50-dlperf", 1, 2721.98 / 8 / 362.44),
    ("resnet50-dlperf", 2, 5099.42 / 16 / 362.44),
    ("resnet50-dlperf", 4, 9514.64 / 32 / 362.44),
)
"""Description, nodes, parallel efficiency that was published: Kurth et al. 2018; Horovod's documentation; DLPerf."""


def row(name: str, nodes: int, published: float) -> list[str]:
    """The published efficiency, the simulated one, and what the latter owes to what."""
    model = description.read(Path(name))
    machine = site.load(str(description.SITES / f"{model.site}.toml"))
    ways, _ = simulate.links(machine)
    shape = Cluster(nodes, machine.gpus_per_node, ways)
    found = simulator.simulate(model, shape)
    calm = simulator.simulate(model, shape, jitter=0)
    return [
        name,
        str(shape.ranks),
        text.percent(published),
        text.percent(found.efficiency),
        f"{100 * (found.efficiency - published):+.1f}",
        text.percent(calm.efficiency),
        f"{1e3 * found.slowest:.1f}",
        f"{1e3 * found.communication:.1f}",
    ]


def main() -> None:
    """Print the table."""
    header = ["description", "GPUs", "published", "simulated", "points", "all GPUs alike", "slowest [ms]", "communication [ms]"]  # fmt: skip
    print(text.markdown(header, [row(*point) for point in POINTS]))


if __name__ == "__main__":
    main()

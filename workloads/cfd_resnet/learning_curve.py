"""Error against the number of training flows: a table, a power law with its interval, and a figure.

python -m workloads.cfd_resnet.learning_curve STUDY [STUDY ...]    of jobs/cfd_resnet_learning_curve.toml

Writes learning_curve.md and learning_curve.svg into the first study, and prints the table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launch import errors
from launch.errors import Refusal
from launch.plan import options
from launch.record.files import read_json
from launch.record.rundir import RunDir
from launch.submit.study import INDEX, runs_in
from workloads.cfd_resnet import Config

PUBLISHED = (0.0198, 0.0269)  # Guo et al. 2016: mean relative error over their test cases, at full size
FULL = 4_096  # flows of the largest set of the study; the law is told up to four times as many


@dataclass(frozen=True, slots=True)
class Point:
    """One finished run: errors are parts of the solver's norm, means over the flows of a set."""

    flows: int
    seed: int
    validation: float
    test: float
    spread: float  # standard deviation of the test error over the flows
    test_flows: int
    steps: int
    passes: float  # over the training flows, mirrored ones included
    times_better: float


@dataclass(frozen=True, slots=True)
class Law:
    """error = factor x flows^-exponent, by least squares of the logarithms.

    Parameters
    ----------
    factor, exponent : float
        As fitted.
    low, high : float
        Interval of the exponent with a confidence of 95 % (Student's t, n - 2 degrees of freedom); NaN for two points.
    deviation : float
        Of the logarithms from the law, the residual standard error; NaN for two points.
    points : int
        How many were fitted.
    mean, squares : float
        Of log(flows): the mean, and the sum of squared distances from it.
    """

    factor: float
    exponent: float
    low: float
    high: float
    deviation: float
    points: int
    mean: float
    squares: float

    def at(self, flows: float) -> tuple[float, float, float]:
        """The error at a number of flows, and the interval with a confidence of 95 % in which a new run would fall."""
        middle = self.factor * flows**-self.exponent
        if self.points < 3:
            return middle, math.nan, math.nan
        wide = _t(self.points) * self.deviation
        wide *= math.sqrt(1 + 1 / self.points + (math.log(flows) - self.mean) ** 2 / self.squares)
        return middle, middle * math.exp(-wide), middle * math.exp(wide)


def fit(flows: Sequence[float], errors: Sequence[float]) -> Law:
    """The power law through errors at numbers of flows, of which two at least differ; runs of several seeds count as points each."""
    import numpy as np

    x, y = np.log(np.asarray(flows, float)), np.log(np.asarray(errors, float))
    mean, squares = float(x.mean()), float(((x - x.mean()) ** 2).sum())
    slope = float(((x - mean) * y).sum() / squares)
    rest = y - y.mean() - slope * (x - mean)
    factor, n = math.exp(y.mean() - slope * mean), len(x)
    if n < 3:
        return Law(factor, -slope, math.nan, math.nan, math.nan, n, mean, squares)
    deviation = math.sqrt(float((rest**2).sum()) / (n - 2))
    wide = _t(n) * deviation / math.sqrt(squares)
    return Law(factor, -slope, -slope - wide, -slope + wide, deviation, n, mean, squares)


def read(folders: Sequence[Path]) -> list[Point]:
    """The finished runs of some studies, by rising number of flows.

    Raises
    ------
    Refusal
        If a folder is no study, or there are not two numbers of flows among the finished runs.
    """
    points, unfinished = [], 0
    for folder in folders:
        if not (folder / INDEX).is_file():
            raise Refusal(f"{folder} is no study: give the folder of a run of jobs/cfd_resnet_learning_curve.toml")
        for run in runs_in(folder):
            if point := _point(run):
                points.append(point)
            else:
                unfinished += 1
    if len({point.flows for point in points}) < 2:
        raise Refusal(
            f"a curve needs two numbers of flows, and the finished runs of {', '.join(map(str, folders))} have "
            f"{len({point.flows for point in points})}: wait for more ({unfinished} are not finished)"
        )
    return sorted(points, key=lambda point: (point.flows, point.seed))


def table(points: Sequence[Point], law: Law) -> str:
    """All runs and what the law says, in Markdown."""
    lines = [
        "| flows | seed | steps | epochs | validation error | test error | its standard error, points | times better |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for point in points:
        error = point.spread / math.sqrt(point.test_flows)
        lines.append(
            f"| {point.flows:,} | {point.seed} | {point.steps:,} | {point.passes:.3g} | {point.validation:.1%} | "
            f"{point.test:.1%} | {100 * error:.1f} | {point.times_better:.1f} |"
        )
    said = f"test error = {law.factor:.3g} x flows^-{law.exponent:.3f}"
    if law.points > 2:
        said += f", exponent {law.low:.3f} to {law.high:.3f} (95 %, {law.points} runs)"
    lines += ["", said]
    most = max(point.flows for point in points)
    for flows in (FULL, 4 * FULL):
        if flows <= most:
            continue
        middle, low, high = law.at(flows)
        lines.append(f"extrapolated to {flows:,} flows: {middle:.1%} ({low:.1%} to {high:.1%})")
    return "\n".join(lines)


def draw(path: Path, points: Sequence[Point], law: Law) -> None:
    """The figure: runs, the law with the interval of a new run, dashed where it is extrapolated, and the published errors."""
    import matplotlib
    import numpy as np
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    from profiling.reporting.plots import BLUE, GRID, INK, MUTED, ORANGE

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    sizes = sorted({point.flows for point in points})
    end = max(4 * FULL, sizes[-1])
    for low, high, style in ((sizes[0], sizes[-1], "-"), (sizes[-1], end, "--")):
        x = np.geomspace(low, high, 40)
        middle, least, greatest = np.array([law.at(value) for value in x]).T
        axes.plot(x, 100 * middle, style, color=MUTED, lw=1.2, label=None if style == "-" else "law, extrapolated")
        axes.fill_between(x, 100 * least, 100 * greatest, color=MUTED, alpha=0.15 if style == "-" else 0.07, lw=0)
    for key, color, label in (("validation", ORANGE, "validation"), ("test", BLUE, "test")):
        x, y = [point.flows for point in points], [100 * getattr(point, key) for point in points]
        axes.plot(x, y, "o" if key == "test" else "x", color=color, label=label)
    axes.axhspan(*(100 * error for error in PUBLISHED), color=GRID, label="Guo et al. 2016, at full size")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks([*sizes, end], [f"{size:,}" for size in (*sizes, end)])
    axes.set_yticks([2, 3, 5, 10, 20, 30], ["2", "3", "5", "10", "20", "30"])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("training flows", color=INK)
    axes.set_ylabel("error [% of the solver's norm]", color=INK)
    axes.legend(fontsize="small", frameon=False)
    with matplotlib.rc_context({"svg.hashsalt": "learning_curve"}):  # and no date: the same points make the same file
        figure.savefig(path, metadata={"Date": None})


def main(argv: Sequence[str]) -> None:
    """Print the table of some studies, and leave it and the figure in the first."""
    if not argv or argv[0].startswith("-"):
        raise Refusal("the learning curve is read from studies: give the folder of one, or of several")
    folders = [Path(word) for word in argv]
    points = read(folders)
    law = fit([point.flows for point in points], [point.test for point in points])
    said = table(points, law)
    print(said)
    (folders[0] / "learning_curve.md").write_text(said + "\n")
    draw(folders[0] / "learning_curve.svg", points, law)
    print(f"\n{folders[0] / 'learning_curve.svg'}")


def _point(run: RunDir) -> Point | None:
    """What a run has found; None if it is not finished."""
    result, plan = run.result(), read_json(run.run_json)
    if result is None:
        return None
    config, metrics = options.parse(Config, plan["entry"][3:]), result["metrics"]
    return Point(
        flows=config.flow_set().train,
        seed=plan["seed"],
        validation=metrics["error"],
        test=metrics["test_error"],
        spread=metrics["test_error_spread"],
        test_flows=config.flow_set().test,
        steps=result["steps"],
        passes=result["epochs"],
        times_better=metrics["test_times_better"],
    )


def _t(points: int) -> float:
    """Student's t of a two-sided interval of 95 % with two degrees of freedom fewer than there are points."""
    from scipy import stats

    return float(stats.t.ppf(0.975, points - 2))


if __name__ == "__main__":
    errors.run(main)

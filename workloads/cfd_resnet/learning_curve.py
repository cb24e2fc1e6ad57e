"""Error against the number of training flows: a table, a power law with its interval, and a figure.

python -m workloads.cfd_resnet.learning_curve STUDY [STUDY ...]    of jobs/cfd_resnet_learning_curve.toml

Writes learning_curve.md and learning_curve.svg into the first study, and prints the table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from scipy import stats

from launch import errors
from launch.errors import Refusal
from profiling.reporting.style import BLUE, GRID, INK, MUTED, ORANGE
from workloads.cfd_resnet import Config
from workloads.training.studies import Finished, finished

PUBLISHED = (0.0198, 0.0269)  # Guo et al. 2016: mean relative error over their test cases, at full size
FULL = 4_096  # flows of the largest set of the study; the law is extrapolated to four times as many


METRICS = ("error", "test_error", "test_error_spread", "test_times_better")


@dataclass(frozen=True, slots=True)
class Law:
    """error = factor x flows^-exponent, by least squares of the logarithms.

    Parameters
    ----------
    factor, exponent : float
        Factor and exponent of the fit.
    stderr : float
        Standard error of the exponent.
    x : array
        Logarithms of the numbers of flows that were fitted; for two points the intervals are NaN.
    """

    factor: float
    exponent: float
    stderr: float
    x: np.ndarray

    @property
    def interval(self) -> tuple[float, float]:
        """Interval of the exponent with a confidence of 95 %."""
        margin = self._t * self.stderr
        return self.exponent - margin, self.exponent + margin

    def at(self, flows: float) -> tuple[float, float, float]:
        """Return the error at a number of flows, and the 95 % interval in which the error of a new run would fall."""
        middle, squares = self.factor * flows**-self.exponent, self.x.var() * len(self.x)
        deviation = self.stderr * math.sqrt(squares)  # residual standard error of the logarithms
        distance = (math.log(flows) - self.x.mean()) ** 2 / squares
        margin = self._t * deviation * math.sqrt(1 + 1 / len(self.x) + distance)
        return middle, middle * math.exp(-margin), middle * math.exp(margin)

    @property
    def _t(self) -> float:
        """Student's t for a two-sided interval of 95 %."""
        return float(stats.t.ppf(0.975, len(self.x) - 2))


def fit(flows: Sequence[float], errors: Sequence[float]) -> Law:
    """Fit the power law to errors at numbers of flows, at least two of them different; each run is a point."""
    x = np.log(np.asarray(flows, float))
    line: Any = stats.linregress(x, np.log(np.asarray(errors, float)))
    return Law(math.exp(line.intercept), -line.slope, line.stderr, x)


def read(folders: Sequence[Path]) -> list[Finished]:
    """Return the finished runs of some studies, by rising number of flows.

    Raises
    ------
    Refusal
        If a folder is not such a study, or the finished runs do not have at least two numbers of flows.
    """
    runs, unfinished = finished(folders, Config, "workloads.cfd_resnet", METRICS)
    if len({_flows(run) for run in runs}) < 2:
        raise Refusal(
            f"a curve needs two numbers of flows, and the finished runs of {', '.join(map(str, folders))} have "
            f"{len({_flows(run) for run in runs})}: wait for more ({unfinished} are not finished)"
        )
    return sorted(runs, key=lambda run: (_flows(run), run.seed))


def _flows(run: Finished) -> int:
    return run.config.flow_set().train


def table(runs: Sequence[Finished], law: Law) -> str:
    """Return all runs and the fitted law, in Markdown."""
    lines = [
        "| flows | seed | steps | epochs | validation error | test error | its standard error, points | times better |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        error, test_error, spread, times_better = (run.metrics[name] for name in METRICS)
        points = 100 * spread / math.sqrt(run.config.flow_set().test)
        lines.append(
            f"| {_flows(run):,} | {run.seed} | {run.steps:,} | {run.epochs:.3g} | {error:.1%} | {test_error:.1%} | "
            f"{points:.1f} | {times_better:.1f} |"
        )
    formula = f"test error = {law.factor:.3g} x flows^-{law.exponent:.3f}"
    if len(runs) > 2:
        formula += ", exponent {:.3f} to {:.3f} (95 %, {} runs)".format(*law.interval, len(runs))
    lines += ["", formula]
    for flows in (FULL, 4 * FULL):
        if flows > max(map(_flows, runs)):
            middle, low, high = law.at(flows)
            lines.append(f"extrapolated to {flows:,} flows: {middle:.1%} ({low:.1%} to {high:.1%})")
    return "\n".join(lines)


def draw(path: Path, runs: Sequence[Finished], law: Law) -> None:
    """Draw the runs, the law with the interval of a new run, dashed where extrapolated, and the published errors."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    sizes = sorted(set(map(_flows, runs)))
    end = max(4 * FULL, sizes[-1])
    for low, high, style in ((sizes[0], sizes[-1], "-"), (sizes[-1], end, "--")):
        x = np.geomspace(low, high, 40)
        middle, least, greatest = np.array([law.at(value) for value in x]).T
        axes.plot(x, 100 * middle, style, color=MUTED, lw=1.2, label=None if style == "-" else "law, extrapolated")
        axes.fill_between(x, 100 * least, 100 * greatest, color=MUTED, alpha=0.15 if style == "-" else 0.07, lw=0)
    for metric, marker, color, label in (("error", "x", ORANGE, "validation"), ("test_error", "o", BLUE, "test")):
        axes.plot(
            [_flows(run) for run in runs], [100 * run.metrics[metric] for run in runs], marker, color=color, label=label
        )
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
    with matplotlib.rc_context({"svg.hashsalt": "learning_curve"}):  # and no date: the same points give the same file
        figure.savefig(path, metadata={"Date": None})


def main(argv: Sequence[str]) -> None:
    """Print the table of some studies, and write it and the figure into the first study."""
    if not argv or argv[0].startswith("-"):
        raise Refusal("the learning curve is read from studies: give the folder of one, or of several")
    folders = [Path(word) for word in argv]
    runs = read(folders)
    law = fit([_flows(run) for run in runs], [run.metrics["test_error"] for run in runs])
    text = table(runs, law)
    print(text)
    (folders[0] / "learning_curve.md").write_text(text + "\n")
    draw(folders[0] / "learning_curve.svg", runs, law)
    print(f"\n{folders[0] / 'learning_curve.svg'}")


if __name__ == "__main__":
    errors.run(main)

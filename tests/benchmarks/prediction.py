"""How good the predictions are: python -m tests.benchmarks.prediction [--learn] [--unseen]

Every number of docs/prediction.md that was measured comes from here. Each series is predicted with its last point (or last two)
held out, and in weak scaling with priors of the laws learnt from the series of all other sources. The series of UNSEEN are never
learnt from: they are predicted with what laws.py has. --unseen scores these alone; --learn prints the priors of weak scaling that
laws.py should have.
"""

import dataclasses
import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from profiling import text
from profiling.prediction import laws, posterior, prediction
from profiling.study import tables

HERE = Path(__file__).resolve()
DATA = HERE.parents[3] / "shared" / "data" / "scaling"
TABLES = (DATA / "published_series.json", HERE.with_name("scaling_series.json"))
UNSEEN = DATA / "more_series.json"
TWICE = 2  # the held-out point has at most so many times the workers of the one before, in a line of their own
PSEUDO_SERIES = 0.5  # added to each law's count, so that none is ruled out
COLLAPSES = {  # the network saturates before the held-out point; their sources say so: no law is asked to foresee it
    "TF p2.xlarge 1 GPU/node InceptionV3 CSCS",
    "Piz Daint P100 InceptionV3 synthetic",
    "Piz Daint P100 InceptionV3 real",
    "p2.xlarge K80 InceptionV3 synthetic to 128",
    "p2.xlarge K80 InceptionV3 real to 128",
}

Priors = dict[str, float]


def load() -> list[tuple[str, tables.Series]]:
    """All series, each with the name of its table."""
    return [(path.stem, tables.read(path, name)) for path in TABLES for name in tables.names(path)]


@contextmanager
def priors(chosen: Priors) -> Iterator[None]:
    """Let the laws of weak scaling have other priors for a while."""
    kept = laws.LAWS["weak"]
    laws.LAWS["weak"] = tuple(dataclasses.replace(law, prior=chosen[law.name]) for law in kept)
    try:
        yield
    finally:
        laws.LAWS["weak"] = kept


def evidence(series: tables.Series) -> dict[str, float]:
    """Evidence of each law from all points of a series, up to a common factor."""
    weights = posterior.fit(series, [series.workers[-1]]).law_weights
    return {law.name: weights[law.name] / law.prior for law in laws.LAWS[series.kind]}


def learn(evidences: list[dict[str, float]]) -> Priors:
    """Priors of the laws by empirical Bayes: expectation maximisation over the evidence of series."""
    names = list(evidences[0])
    table = np.array([[found[name] for name in names] for found in evidences])
    share = np.full(len(names), 1 / len(names))
    for _ in range(50):
        belongs = table * share
        belongs /= belongs.sum(1, keepdims=True)
        share = PSEUDO_SERIES + belongs.sum(0)
        share /= share.sum()
    return dict(zip(names, share.tolist(), strict=True))


@dataclasses.dataclass(frozen=True)
class Score:
    """One held-out point."""

    table: str
    series: tables.Series
    cut: int  # points held out; the last of them is predicted
    error: float  # predicted over measured - 1
    surprise: float  # distance from the median over that of the interval's bound, before it is stretched
    low: float
    high: float

    @property
    def inside(self) -> bool:
        """Whether the interval that is reported holds the point."""
        return abs(self.surprise) <= prediction.WIDEN


def hold_out(table: str, series: tables.Series, cut: int, confidence: float = 0.9) -> Score:
    """Predict the last point from all but the last ``cut``."""
    last = series.points[-1]
    known = dataclasses.replace(series, points=series.points[:-cut])
    mixture = posterior.fit(known, [last.workers]).mixtures[0]
    cheap, median, dear = mixture.quantiles(((1 - confidence) / 2, 0.5, (1 + confidence) / 2))
    found = math.log(last.workers / last.throughput)
    reach = dear - median if found > median else median - cheap
    low, _, high = prediction.interval(mixture, last.workers, confidence)
    return Score(table, series, cut, math.exp(found - median) - 1, (found - median) / reach, low, high)


def single_law(series: tables.Series, cut: int, terms: str) -> float:
    """Relative error of one law fitted by least squares to the relative cost: the baseline."""
    known, last = series.points[:-cut], series.points[-1]
    n = np.array([point.workers for point in known], float)
    cost = np.array([point.workers / point.throughput for point in known])
    if terms == "power":
        slope, start = np.polyfit(np.log(n), np.log(cost), 1)
        return last.workers / math.exp(start + slope * math.log(last.workers)) / last.throughput - 1
    columns = [np.ones_like, *(laws.TERMS[term] for term in terms.split("+"))]
    design = np.stack([column(n) for column in columns], 1) / cost[:, None]
    fitted = _non_negative(design, np.ones(len(n)))
    there = np.array([float(column(np.array([float(last.workers)]))[0]) for column in columns])
    return last.workers / float(there @ fitted) / last.throughput - 1


def _non_negative(design: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least squares with coefficients of 0 or more: terms that come out below 0 are left out, the worst first."""
    used = list(range(design.shape[1]))
    while True:
        found = np.linalg.lstsq(design[:, used], target, rcond=None)[0]
        if found.min() >= 0:
            full = np.zeros(design.shape[1])
            full[used] = found
            return full
        used.pop(int(found.argmin()))


def sources() -> dict[str, str]:
    """Where each series is from: the first word of its source, without which it is its own."""
    return {
        one["name"]: str(one.get("source") or one["name"]).split()[0]
        for path in TABLES
        for one in json.loads(path.read_text())
    }


def leave_one_out(everything: list[tuple[str, tables.Series]]) -> tuple[list[Score], Priors]:
    """Score every series with priors learnt from the weak ones of other sources that did not collapse; and those of all."""
    source = sources()
    steady = {
        series.name: evidence(series)
        for _, series in everything
        if series.kind == "weak" and series.name not in COLLAPSES
    }
    scores = []
    for table, series in everything:
        with priors(learn([found for name, found in steady.items() if source[name] != source[series.name]])):
            scores += [hold_out(table, series, cut) for cut in (1, 2) if len(series.points) - cut >= 2]
    return scores, learn(list(steady.values()))


def unseen() -> list[Score]:
    """Score the series that nothing was learnt from, with the priors that the package has."""
    found = [tables.read(UNSEEN, name) for name in tables.names(UNSEEN)]
    return [hold_out(UNSEEN.stem, series, cut) for series in found for cut in (1, 2) if len(series.points) - cut >= 2]


def of_unseen(scores: list[Score], cut: int) -> list[list[str]]:
    """The lines of the table of accuracy that are of these."""
    groups = {
        "unseen": lambda s: True,
        "unseen, at most twice": lambda s: s.series.workers[-1] <= TWICE * s.series.workers[-1 - cut],
        "unseen, weak": lambda s: s.series.kind == "weak",
        "unseen, strong": lambda s: s.series.kind == "strong",
    }
    chosen = {name: [score for score in scores if score.cut == cut and of(score)] for name, of in groups.items()}
    return [[str(cut), *summary(name, some)] for name, some in chosen.items() if some]


SYNTHETIC = {
    "weak": {
        "1 + k log2 n": lambda n, u: 1 + (0.01 + 0.03 * u) * np.log2(n),
        "1 + s (n - 1)": lambda n, u: 1 + (0.0002 + 0.001 * u) * (n - 1),
        "1 + b (1 - 8 / n)": lambda n, u: 1 + (0.05 + 0.2 * u) * np.maximum(0, 1 - 8 / n),
        "n^p": lambda n, u: n ** (0.01 + 0.05 * u),
    },
    "strong": {
        "Amdahl": lambda n, u: 1 + (0.0005 + 0.004 * u) * (n - 1),
        "tree": lambda n, u: 1 + (0.0002 + 0.001 * u) * n * np.log2(n),
        "USL": lambda n, u: 1 + 0.001 * (n - 1) + 2e-5 * u * n * (n - 1),
    },
}
"""Laws from which series are made: the cost as a function of the workers and of a number between 0 and 1."""


def synthetic(kind: str, noise: float, series: int = 10) -> list[str]:
    """Predictions of x2 and x4 beyond 32 workers, of series that are made from a law with noise: how many are inside."""
    generator = np.random.default_rng(20250101)
    n = 2.0 ** np.arange(8)
    inside, errors = [], []
    for law in SYNTHETIC[kind].values():
        for _ in range(series):
            throughput = 100 * n / law(n, generator.random()) * np.exp(noise * generator.standard_normal(len(n)))
            points = tuple(tables.Point(int(at), (float(rate),)) for at, rate in zip(n, throughput, strict=True))
            mixtures = posterior.fit(tables.Series("", kind, "", points[:6]), [64, 128]).mixtures
            for point, mixture in zip(points[6:], mixtures, strict=True):
                low, median, high = prediction.interval(mixture, point.workers, 0.9)
                inside.append(low <= point.throughput <= high)
                errors.append(abs(median / point.throughput - 1))
    return [kind, f"{noise:.1%}", str(len(errors)), f"{np.median(errors):.1%}", f"{np.mean(inside):.0%}"]


def summary(name: str, scores: list[Score]) -> list[str]:
    """A line of the table of accuracy."""
    errors = [abs(score.error) for score in scores]
    return [
        name,
        str(len(scores)),
        f"{np.median(errors):.1%}",
        f"{np.percentile(errors, 90):.1%}",
        f"{np.mean([score.inside for score in scores]):.0%}",
        f"{np.median([score.high / score.low - 1 for score in scores]):.0%}",
    ]


HEADER = ["held out", "series", "n", "median error", "90th percentile", "inside 90 % interval", "width"]
OF_EACH = ["series", "kind", "held-out workers", "error", "inside"]


def each(score: Score) -> list[str]:
    """A line of the table of held-out points."""
    workers, inside = str(score.series.workers[-1]), "yes" if score.inside else "no"
    return [score.series.name, score.series.kind, workers, f"{score.error:+.1%}", inside]


def main() -> None:
    """Print the tables of docs/prediction.md."""
    new = unseen()
    if "--unseen" in sys.argv:
        print(text.markdown(HEADER, [row for cut in (1, 2) for row in of_unseen(new, cut)]))
        print(text.markdown(OF_EACH, [each(score) for score in new if score.cut == 1]))
        return
    everything = load()
    scores, learnt = leave_one_out(everything)
    if "--learn" in sys.argv:
        print({name: round(share, 3) for name, share in learnt.items()})
    rows = []
    for cut in (1, 2):
        for name, chosen in {
            "published": lambda s: s.table == "published_series",
            "published, no collapse": lambda s: s.table == "published_series" and s.series.name not in COLLAPSES,
            "further": lambda s: s.table == "scaling_series",
            "weak": lambda s: s.series.kind == "weak",
            "strong": lambda s: s.series.kind == "strong",
            "all": lambda s: True,
            "all, no collapse": lambda s: s.series.name not in COLLAPSES,
        }.items():
            some = [score for score in scores if score.cut == cut and chosen(score)]
            rows.append([str(cut), *summary(name, some)])
        rows += of_unseen(new, cut)
    print(text.markdown(HEADER, rows))
    print(
        "\ninside by stretch:",
        {
            w: round(float(np.mean([abs(s.surprise) <= w for s in scores if s.cut == 1])), 3)
            for w in (1, 1.2, 1.4, 1.6, 1.8, 2)
        },
    )
    rows = []
    for name, terms in {"Amdahl": "serial", "USL": "serial+pairwise", "c + k log2 n": "log", "power": "power"}.items():
        for kind in laws.LAWS:
            errors = [abs(single_law(s, 1, terms)) for _, s in everything if s.kind == kind and len(s.points) > 2]
            rows.append([name, kind, f"{np.median(errors):.1%}", f"{np.percentile(errors, 90):.1%}"])
    for kind in laws.LAWS:
        errors = [abs(s.error) for s in scores if s.cut == 1 and s.series.kind == kind]
        rows.append(["this", kind, f"{np.median(errors):.1%}", f"{np.percentile(errors, 90):.1%}"])
    print("\n" + text.markdown(["law", "kind", "median error", "90th percentile"], rows))
    rows = [synthetic(kind, noise) for kind in SYNTHETIC for noise in (0.002, 0.01, 0.03)]
    print("\n" + text.markdown(["made from laws", "noise of a run", "n", "median error", "inside 90 % interval"], rows))
    print("\n" + text.markdown(OF_EACH, [each(score) for score in scores + new if score.cut == 1]))


if __name__ == "__main__":
    main()

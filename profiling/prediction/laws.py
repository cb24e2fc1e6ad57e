"""Scaling laws, as the factor by which the cost of a unit of work rises with the number of workers.

The cost is n / X(n), with X the throughput on n workers: worker-seconds per example. Perfect scaling keeps it constant,
in weak scaling (where it is proportional to the time of a step) and in strong scaling (to n T(n)). A law is

    cost(n) = cost(1) (1 + sum_k theta_k phi_k(n)),   theta_k >= 0

with one or two of these terms:

======== =================== ================================================ =========================================
term     phi(n)              what it is in weak scaling                       what it is in strong scaling
======== =================== ================================================ =========================================
serial   n - 1               steps done one worker after another; latency of  the serial fraction (Amdahl 1967)
                             a ring allreduce (Patarasuk & Yuan 2009)
pairwise n (n - 1)           coherency of all pairs (Gunther 1993, USL)       the same; latency of a ring allreduce
log      log2 n              latency of a tree (Thakur et al. 2005)           imbalance growing with each halving
tree     n log2 n            -                                                latency of a tree (Thakur et al. 2005)
surface  sqrt(n) - 1         hops through a two-dimensional mesh              halo over volume of a 2-D decomposition
ring     max(0, 1 - w / n)   bandwidth of a ring between groups of w workers: contention: memory bandwidth or a shared
                             2 (m - 1) / m bytes / bandwidth, m = n / w       network, which w workers do not fill and
                                                                              more of them share
======== =================== ================================================ =========================================

Two laws have another form: Gustafson's, cost(1) / (1 - s (n - 1) / n), with s the serial share of the scaled work
(Gustafson 1988), and the power law, cost(1) n^p. A plain table does not say the size w of the ring's groups, so the
prediction averages over it.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

Term = Callable[[np.ndarray], np.ndarray]

TERMS: dict[str, Term] = {
    "serial": lambda n: n - 1,
    "pairwise": lambda n: n * (n - 1),
    "log": np.log2,
    "tree": lambda n: n * np.log2(n),
    "surface": lambda n: np.sqrt(n) - 1,
}
GROUPS = (1, 4, 8, 32)  # sizes of the ring's groups that are tried: one worker, and what a node may hold


@dataclasses.dataclass(frozen=True)
class Law:
    """A law and how plausible it is before the data are seen."""

    name: str
    terms: tuple[str, ...]  # names in TERMS, or "ring"; empty for a law of another form
    prior: float = 1.0  # weight relative to the other laws of its kind of scaling


# The priors of weak scaling were learnt from the series of tests/benchmarks/scaling_series.json by empirical Bayes
# (expectation maximisation of the evidence, half a pseudo-series per law). Those of strong scaling are equal: learnt
# from 28 series, they predicted those of other sources worse. docs/prediction.md has both.
LAWS: dict[str, tuple[Law, ...]] = {
    "weak": (
        Law("gustafson", (), 0.031),
        Law("ring", ("ring",), 0.036),
        Law("hierarchical", ("ring", "log"), 0.466),
        Law("ring+mesh", ("ring", "surface"), 0.181),
        Law("alpha-beta ring", ("ring", "serial"), 0.048),
        Law("tree", ("log",), 0.057),
        Law("tree+serial", ("log", "serial"), 0.056),
        Law("power", (), 0.031),
        Law("mesh", ("surface",), 0.040),
        Law("amdahl", ("serial",), 0.035),
        Law("usl", ("serial", "pairwise"), 0.020),
    ),
    "strong": (
        Law("amdahl", ("serial",)),
        Law("usl", ("serial", "pairwise")),
        Law("tree", ("tree",)),
        Law("amdahl+tree", ("serial", "tree")),
        Law("power", ()),
        Law("surface", ("surface",)),
        Law("surface+ring", ("surface", "pairwise")),
        Law("imbalance", ("log",)),
        Law("imbalance+serial", ("log", "serial")),
        Law("imbalance+ring", ("log", "pairwise")),
        Law("contention", ("ring",)),
        Law("contention+serial", ("ring", "serial")),
    ),
}


@dataclasses.dataclass(frozen=True)
class Curves:
    """One law on a grid of its parameters: the hypotheses that a fit weighs."""

    law: Law
    log_cost: np.ndarray  # (hypotheses, workers): log cost(n) / cost(1)
    half_steps: np.ndarray  # (hypotheses, 2, workers): change of log_cost over half a grid step, in rise and share
    log_prior: np.ndarray  # (hypotheses,)
    parameters: dict[str, np.ndarray]  # parameter -> its values, (hypotheses,) each


# The grid of a law is not over its own parameters but over its effect between the first and the last measured point:
# the rise of the log cost between them, and the share of each term in it at the last. So one prior means the same for
# all laws, units and sizes.
RISES = np.concatenate([[0.0005], np.geomspace(0.002, 3, 40), [3.6, 4.4, 5.3, 6.4, 7.7]])
FALLS = -np.geomspace(0.4, 0.002, 12)  # better than perfect scaling, as caches allow: only for the power law
SHARES = 1 / (1 + np.exp(-np.linspace(-4.5, 3, 6)))  # shares of the first term in the rise
MEAN_RISE = {"weak": 0.167, "strong": 0.333}  # mean of the exponential prior of rises, by kind of scaling
MEAN_FALL = 0.05


def curves(kind: str, workers: np.ndarray, first: float, last: float) -> list[Curves]:
    """Lay out every law of a kind of scaling on a grid of its parameters.

    ``first`` and ``last`` are the smallest and the largest measured number of workers. The priors of all hypotheses sum
    to 1, except for rises that a law cannot have between first and last.
    """
    places, all_priors = np.concatenate([[first, last], workers]), sum(law.prior for law in LAWS[kind])
    return [_lay_out(law, law.prior / all_priors, kind, places) for law in LAWS[kind]]


def _lay_out(law: Law, plausible: float, kind: str, places: np.ndarray) -> Curves:
    """Return the curves of one law; ``places`` are first, last, and the numbers of workers asked for."""
    rises = np.concatenate([FALLS, RISES]) if law.name == "power" else RISES
    prior = np.exp(np.where(rises >= 0, -rises / MEAN_RISE[kind], rises / MEAN_FALL)) * np.gradient(rises)
    log_cost, parameters = {"power": _power, "gustafson": _gustafson}.get(law.name, _sum)(law, rises, places)
    with np.errstate(invalid="ignore"):
        steps = [np.gradient(log_cost, axis=2)]  # axes: groups, shares, rises, workers
        steps.append(np.gradient(log_cost, axis=1) if log_cost.shape[1] > 1 else np.zeros_like(log_cost))
    half_steps = np.nan_to_num(np.stack(steps, axis=3) / 2)
    log_prior = np.log(plausible * prior / prior.sum() / (log_cost.shape[0] * log_cost.shape[1]))
    possible = np.isfinite(log_cost).all(-1)
    return Curves(
        law,
        log_cost[possible],
        half_steps[possible],
        np.broadcast_to(log_prior, possible.shape)[possible],
        {name: np.broadcast_to(value, possible.shape)[possible] for name, value in parameters.items()},
    )


def _power(law: Law, rises: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    exponent = rises / np.log(places[1] / places[0])
    return (exponent[:, None] * np.log(places[2:]))[None, None], {"exponent": exponent}


def _gustafson(law: Law, rises: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    scaled = (places - 1) / places
    share = -np.expm1(-rises) / (scaled[1] - np.exp(-rises) * scaled[0])
    share = np.where((share >= 0) & (share < 1), share, np.nan)
    return -np.log1p(-share[:, None] * scaled[2:])[None, None], {"serial share": share}


def _sum(law: Law, rises: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return log(1 + sum of terms), with axes groups, shares, rises, workers; NaN for rises that terms do not allow."""
    groups = [group for group in GROUPS if group <= places[1] / 1.5] if "ring" in law.terms else [1]
    groups = np.array(groups or [1], float)[:, None]
    ring = np.maximum(0.0, 1 - groups / places)
    phi = np.array([ring if name == "ring" else TERMS[name](places) + 0 * ring for name in law.terms])
    shares = np.array([SHARES, 1 - SHARES]) if len(law.terms) == 2 else np.ones((1, 1))
    weights = shares[:, None, :] / phi[:, :, 1, None]  # (terms, groups, shares)
    shape = np.einsum("tgs,tgw->gsw", weights, phi)
    room = 1 - np.exp(rises) * shape[..., 0, None]  # shape is 1 at the last; what is left is for the constant part
    size = np.where(room > 1e-9, np.expm1(rises) / np.where(room > 1e-9, room, 1), np.nan)  # (groups, shares, rises)
    parameters = {name: weight[..., None] * size for name, weight in zip(law.terms, weights, strict=True)}
    if "ring" in law.terms:
        parameters["group"] = groups[:, :, None]
    return np.log1p(size[..., None] * shape[:, :, None, 2:]), parameters

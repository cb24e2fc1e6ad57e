"""What a series says about the laws: Bayesian model averaging over all of them, with a discrepancy that wanders.

    log(n_i / X_i) = c + log f(n_i; law, theta) + d(log2 n_i) + e_i

f is a law of laws.py. d is what no law describes: a Brownian motion in log2 of the workers, of variance tau^2 per
doubling, 0 at the first point (Kennedy & O'Hagan 2001, with the simplest non-stationary kernel). e_i is the noise of
one run, of variance sigma^2. The constant c has a flat prior and is integrated out exactly; law, theta, sigma and tau
lie on a grid. The posterior is therefore a finite mixture of normal distributions, computed without
sampling: the same table always gives the same prediction.
"""

import dataclasses
import math

import numpy as np

from profiling.prediction import laws
from profiling.study.tables import Series

# Log-normal priors of tau and sigma: the median, and the deviation of the logarithm. DEVIATIONS are the places of the
# grid, in deviations from the median. Tuned on the held-out points of tests/benchmarks/scaling_series.json; the score
# is flat around them, see docs/prediction.md.
TAU = (0.015, 1.3)
SIGMA = (0.007, 0.55)
DEVIATIONS = np.linspace(-2, 2.6, 5)


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Posterior of the log cost of one run at a number of workers: normals of these weights, means and deviations."""

    weight: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    def below(self, value: float) -> float:
        """Return the probability of a log cost up to this value."""
        return float((self.weight * _normal_cdf((value - self.mean) / self.deviation)).sum() / self.weight.sum())

    def quantiles(self, levels: tuple[float, ...]) -> np.ndarray:
        """Return quantiles of the mixture, interpolated from its distribution function at 201 places."""
        keep = self.weight > 1e-5 * self.weight.max()  # thousands of components share the last 0.1 per cent
        weight, mean, deviation = self.weight[keep], self.mean[keep], self.deviation[keep]
        weight = weight / weight.sum()
        centre = weight @ mean
        reach = 8 * math.sqrt(weight @ (deviation**2 + (mean - centre) ** 2))
        # Closer together in the middle, where the quantiles are.
        places = centre + reach * np.linspace(-1, 1, 201) ** 3
        # Not as a product of vectors: BLAS threads spend more time on synchronisation than on these few numbers.
        below = [(weight * _normal_cdf((place - mean) / deviation)).sum() for place in places]
        return np.interp(levels, below, places)


@dataclasses.dataclass(frozen=True)
class Posterior:
    """The fit of all laws to a series."""

    mixtures: list[Mixture]  # one for each number of workers asked for
    law_weights: dict[str, float]  # sum to 1
    parameters: dict[str, tuple[np.ndarray, dict[str, np.ndarray]]]  # law -> weights (h,), and parameter -> values (h,)

    def of_law(self, name: str) -> list[Mixture]:
        """Return the mixtures of one law alone."""
        names = np.repeat(list(self.parameters), [len(weights) for weights, _ in self.parameters.values()])
        mine = np.resize(names == name, self.mixtures[0].weight.shape)  # the hypotheses, repeated for each noise
        return [Mixture(whole.weight[mine], whole.mean[mine], whole.deviation[mine]) for whole in self.mixtures]


def fit(series: Series, workers: list[int]) -> Posterior:
    """Weigh every law against a series, and predict the cost of a run elsewhere: log(workers / throughput)."""
    measured = np.array(series.workers, float)
    asked = np.array(workers, float)
    cost = np.array([math.log(point.workers / point.throughput) for point in series.points])
    all_curves = laws.curves(series.kind, np.concatenate([measured, asked]), measured[0], measured[-1])
    shape = np.concatenate([curves.log_cost for curves in all_curves])
    log_prior = np.concatenate([curves.log_prior for curves in all_curves])

    doublings = np.log2(np.concatenate([measured, asked]) / measured[0])
    wander = np.where(np.outer(doublings, doublings) > 0, np.minimum.outer(abs(doublings), abs(doublings)), 0)
    count = len(measured)
    repeats = np.array([len(point.rates) for point in series.points], float)
    scatter, freedom = _scatter(series)

    # The effect of half a step of the grid on the data and on the prediction. A cell of the grid is a normal patch of
    # the law's parameters, within which the law is linear, so the grid can be coarser than the data are precise.
    steps = np.concatenate([curves.half_steps for curves in all_curves])
    residual = cost - shape[:, :count]
    weights, means, deviations = [], [], []
    for tau_at in DEVIATIONS:
        for sigma_at in DEVIATIONS:
            tau, sigma = TAU[0] * math.exp(TAU[1] * tau_at), SIGMA[0] * math.exp(SIGMA[1] * sigma_at)
            covariance = tau**2 * wander[:count, :count] + sigma**2 * np.diag(1 / repeats)
            inverse = np.linalg.inv(covariance)
            of_constant = 1 / inverse.sum()
            mean_of = of_constant * inverse.sum(0)  # (count,): the constant is mean_of @ residual
            precision = inverse - np.outer(mean_of, mean_of) / of_constant
            gain = tau**2 * wander[count:, :count] @ inverse
            carry = gain + np.outer(1 - gain.sum(1), mean_of)  # (asked, count): a residual's part in the prediction

            weighed = residual @ precision
            seen = steps[:, :, :count] @ precision  # (hypotheses, 2, count)
            patch, log_shrink = _posterior_of_patch(seen @ steps[:, :, :count].transpose(0, 2, 1))
            pull = (seen @ residual[:, :, None])[:, :, 0]
            shift = (patch @ pull[:, :, None])[:, :, 0]
            misfit = (weighed * residual).sum(1) - (pull * shift).sum(1)
            evidence = -0.5 * misfit - 0.5 * np.linalg.slogdet(covariance)[1] + 0.5 * math.log(of_constant)
            evidence -= 0.5 * log_shrink
            evidence -= 0.5 * scatter / sigma**2 + freedom * math.log(sigma)  # scatter of the repeats about their point
            weights.append(evidence + log_prior - 0.5 * (tau_at**2 + sigma_at**2))

            moved = steps[:, :, count:] - steps[:, :, :count] @ carry.T  # (hypotheses, 2, asked)
            means.append(shape[:, count:] + residual @ carry.T + (moved * shift[:, :, None]).sum(1))
            unseen = tau**2 * (np.diag(wander)[count:] - (gain * wander[:count, count:].T).sum(1))
            common = np.maximum(unseen, 0) + (1 - gain.sum(1)) ** 2 * of_constant + sigma**2
            deviations.append(np.sqrt(common + ((patch @ moved) * moved).sum(1)))

    joint = np.array(weights)  # (noises, hypotheses)
    joint = np.exp(joint - joint.max())
    joint /= joint.sum()
    mean, deviation = np.concatenate(means), np.concatenate(deviations)
    mixtures = [Mixture(joint.ravel(), mean[:, t], deviation[:, t]) for t in range(len(asked))]
    by_hypothesis = joint.sum(0)
    ends = np.cumsum([len(curves.log_prior) for curves in all_curves])[:-1]
    split = {curves.law.name: weight for curves, weight in zip(all_curves, np.split(by_hypothesis, ends), strict=True)}
    return Posterior(
        mixtures,
        {name: float(weight.sum()) for name, weight in split.items()},
        {curves.law.name: (split[curves.law.name], curves.parameters) for curves in all_curves},
    )


def _posterior_of_patch(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the inverse (h, 2, 2) of 1 + seen, and the log of the determinant of 1 + seen (h,)."""
    a, b, d = 1 + seen[:, 0, 0], seen[:, 0, 1], 1 + seen[:, 1, 1]
    determinant = a * d - b * b
    inverse = np.stack([np.stack([d, -b], 1), np.stack([-b, a], 1)], 1) / determinant[:, None, None]
    return inverse, np.log(determinant)


def _scatter(series: Series) -> tuple[float, int]:
    """Return the sum of squares of the log rates about the mean of their point, and its degrees of freedom."""
    logs = [np.log(point.rates) for point in series.points]
    return float(sum(((values - values.mean()) ** 2).sum() for values in logs)), sum(len(values) - 1 for values in logs)


def _normal_cdf(value: np.ndarray) -> np.ndarray:
    """Return the normal distribution function, to 1e-7 (Abramowitz & Stegun 1964, 7.1.26)."""
    argument = abs(value) / math.sqrt(2)
    t = 1 / (1 + 0.3275911 * argument)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return 0.5 * (1 + np.sign(value) * (1 - series * np.exp(-(argument**2))))

"""The spread of ranks, and of the steps of a rank: factors of the time that a rank computes, with mean 1.

A rank has a constant factor (no two GPUs are alike), and another one that is drawn in each step. All ranks wait for
the slowest, so what counts is the greatest product of both over the ranks; for 27,360 ranks it lies far out in the
tail.
"""

import math
from dataclasses import dataclass

import numpy as np

from launch.plan.typed import NotNegative

TAIL = 0.1  # share of the slowest measured steps, beyond which the tail is assumed to fall exponentially
DRAWS = 2_000_000  # at most this many rank-steps are drawn
STEPS = (8, 64)  # fewest and most steps that are drawn


@dataclass(frozen=True)
class Jitter:
    """Spread of the time that ranks compute."""

    rank_deviation: NotNegative = 0.0  # deviation of the logarithm of a rank's own factor, which is log-normal
    step_factors: tuple[float, ...] = ()  # measured factors of single steps, with mean 1; if empty, see step_deviation
    step_deviation: NotNegative = 0.0  # deviation of the logarithm of a step's factor, if none were measured

    def slowest(self, ranks: int, seed: int = 0) -> np.ndarray:
        """Draw the factor of the slowest rank in each of 8 to 64 steps; the same seed gives the same factors."""
        steps = min(max(DRAWS // ranks, STEPS[0]), STEPS[1])
        if not self:
            return np.ones(steps)
        generator = np.random.default_rng(seed)

        def factors() -> np.ndarray:
            # The ranks are also drawn for each step: it is not known which of a machine's GPUs a job will get.
            of_ranks = _log_normal(generator, self.rank_deviation, ranks)
            if self.step_factors:
                return of_ranks * quantiles(np.array(self.step_factors), generator.random(ranks))
            return of_ranks * _log_normal(generator, self.step_deviation, ranks)

        return np.array([factors().max() for _ in range(steps)])

    def __bool__(self) -> bool:
        return bool(self.rank_deviation or self.step_deviation or self.step_factors)


def _log_normal(generator: np.random.Generator, deviation: float, count: int) -> np.ndarray:
    """Draw log-normal factors with mean 1; ``deviation`` is that of the logarithm."""
    return np.exp(deviation * generator.standard_normal(count) - deviation**2 / 2)


def quantiles(measured: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return quantiles of the measured values, with an exponential tail beyond the last tenth.

    The excess over a high threshold has an exponential tail for all distributions whose maxima tend to Gumbel's law,
    such as the normal, log-normal and gamma ones (Pickands 1975). A few measured values say no more about their tail.
    """
    values = np.sort(measured)
    above = min(max(1, round(TAIL * len(values))), len(values) - 1)
    if not above:
        return np.full(np.shape(levels), values[0])
    share, body = above / len(values), values[:-above]
    result = np.interp(levels, np.linspace(0, 1 - share, len(body)), body)
    beyond = levels > 1 - share
    excess = (values[-above:] - body[-1]).mean()
    result[beyond] = body[-1] + excess * np.log(share / (1 - levels[beyond]))
    return result


def measure(seconds: np.ndarray) -> Jitter:
    """Return the jitter of a run, from the ``seconds`` (ranks, steps) that each rank computed in each step."""
    ranks, steps = seconds.shape
    of_rank = seconds.mean(1)
    factors = seconds / of_rank[:, None]
    spread = 0.0
    if ranks > 1:
        # The part of a rank's mean that is due to the spread of its few steps is not a property of the rank.
        within = float(np.log(factors).var(1, ddof=1).mean()) / steps if steps > 1 else 0.0
        spread = math.sqrt(max(0.0, float(np.log(of_rank).var(ddof=1)) - within))
    return Jitter(rank_deviation=spread, step_factors=tuple(factors.ravel().tolist()) if steps > 1 else ())

"""Successive halving: which runs of a study go on after so many epochs, by ``--until 1,3,9``.

A run that has trained 1 epoch compares its metric with those that the runs of its study had at that point, as far as
they have come to it, and goes on if it is among the best third (1 of 3, the ratio of 1 and 3). What is left does so
again after 3 epochs and after 9. Each run decides for itself, so that the runs may be tasks of an array, run one after
the other, or be lost and resumed; nobody has to wait for the others. This is the rule by which ASHA promotes (Li et
al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020), but a run that is not promoted ends.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, NamedTuple

from launch.errors import Refusal
from launch.record.files import Unreadable
from launch.record.rundir import RunDir
from launch.record.study import entries_of

if TYPE_CHECKING:
    from workloads.training.engines.interface import Communicator

LOSS = ("loss", "<=", 0.0)
"""Metric by which runs are compared if the workload has no target."""


class Rung(NamedTuple):
    """A point at which runs are compared."""

    epochs: float  # epochs trained until then
    going_on: float  # part of the runs that go on, above 0 and below 1

    @property
    def after(self) -> str:
        """The point of the comparison, in words."""
        return f"after {self.epochs:g} epoch" + ("" if self.epochs == 1 else "s")


class Verdict(NamedTuple):
    """The result of a comparison."""

    place: int  # place of this run among those compared, from 1
    of: int  # number of runs that are compared, this one included
    best: int  # number of them that go on

    @property
    def goes_on(self) -> bool:
        """Whether this run goes on."""
        return self.place <= self.best


def rungs(text: str, epochs: float) -> list[Rung]:
    """Return the rungs of ``1,3,9`` in a training of that many epochs; none for an empty text.

    Raises
    ------
    Refusal
        If they are not increasing numbers above 0 and below the epochs.
    """
    try:
        numbers = [float(word) for word in text.split(",")] if text else []
    except ValueError:
        numbers = [math.nan]
    ends = [*numbers, epochs]
    if not all(math.isfinite(number) for number in numbers) or not all(
        0 < low < high for low, high in zip(ends, ends[1:])
    ):
        raise Refusal(
            f"--until {text}, in a training of {epochs:g} epochs: give epochs that increase and are fewer than those, "
            "as in --until 1,3,9"
        )
    return [Rung(low, low / high) for low, high in zip(ends, ends[1:])]


class Halving:
    """The comparisons of a run with the others of its study.

    Parameters
    ----------
    text : str
        Epochs of the rungs, as in ``1,3,9``.
    steps, steps_per_epoch : int
        Number of steps of the whole run, and of an epoch.
    target : tuple, optional
        Target of the workload, whose metric and direction count; without it the loss of the validation set is compared.
    run : RunDir
        Folder of this run.

    Raises
    ------
    Refusal
        For the same reasons as `rungs`.
    """

    def __init__(
        self, text: str, steps: int, steps_per_epoch: int, target: tuple[str, str, float] | None, run: RunDir
    ) -> None:
        found = rungs(text, steps / steps_per_epoch)
        self._rungs = {max(1, round(rung.epochs * steps_per_epoch)): rung for rung in found}
        self._metric, self._relation, _ = target or LOSS
        self._run = run

    def at(self, step: int) -> Rung | None:
        """Return the rung that is reached after a step, if there is one."""
        return self._rungs.get(step)

    def verdict(self, rung: Rung, metrics: dict[str, float]) -> Verdict:
        """Compare this run's metrics with those of the others. Runs whose files cannot be read do not count."""
        own = self._rank(metrics)
        others = [self._rank(found) for found in self._others(rung)]
        place = 1 + sum(other < own for other in others)
        return Verdict(place, len(others) + 1, max(1, math.floor((len(others) + 1) * rung.going_on + 1e-9)))

    def agreed(self, rung: Rung, metrics: dict[str, float], communicator: Communicator) -> Verdict:
        """Return the chief's verdict on all ranks; the chief prints it."""
        verdict = None
        if communicator.rank.is_chief:
            verdict = self.verdict(rung, metrics)
            print(self.text(rung, verdict, metrics), flush=True)
        return communicator.broadcast_object(verdict)

    def text(self, rung: Rung, verdict: Verdict, metrics: dict[str, float]) -> str:
        """Return the verdict as a sentence."""
        value = f"{self._metric} {metrics.get(self._metric, math.nan):.4g}"
        best = f"the best {verdict.best}" if verdict.best > 1 else "the best"
        return (
            f"--until: {rung.after} {value} is number {verdict.place} of the {verdict.of} runs that "
            f"have come so far, and {best} of them {'go' if verdict.best > 1 else 'goes'} on: this one "
            f"{'goes on' if verdict.goes_on else 'ends'}"
        )

    def _others(self, rung: Rung) -> list[dict[str, float]]:
        """Return the metrics that the other runs had at a rung; an attempt that repeated it counts once."""
        folder = self._run.path.parent
        names = [entry["run"] for entry in entries_of(folder)]
        found: dict[str, dict[str, float]] = {}
        for name in names:
            with contextlib.suppress(Unreadable):
                for event in RunDir(folder / name).events("evaluated") if name != self._run.path.name else ():
                    if event.get("until") == rung.epochs:
                        found[name] = event.get("metrics", {})
        return list(found.values())

    def _rank(self, metrics: dict[str, float]) -> float:
        """Return a number that is small for good metrics, and infinite for a value that is not a number."""
        value = metrics.get(self._metric)
        if not isinstance(value, int | float) or math.isnan(value):
            return math.inf
        return value if self._relation == "<=" else -value

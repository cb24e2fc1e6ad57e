"""The batch that is measured before the first step."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import tiny

from launch.node.rank import Rank
from workloads.training.engines import horovod
from workloads.training.evaluation import Evaluation


def rehearse(**functions: Any) -> None:
    workload = dataclasses.replace(tiny.build(tiny.Config(), Rank()), **functions)
    with horovod.Communicator(Rank()) as communicator:
        Evaluation(horovod, workload, communicator, 32).rehearse()


@pytest.mark.parametrize(
    ("functions", "error"),
    [
        ({"statistics": lambda targets, outputs: {"squares": (targets - outpus) ** 2}}, NameError),  # noqa: F821
        ({"summarise": lambda totals, examples: {"rms": totals["sqares"]}}, KeyError),
        ({"summarise": lambda totals, examples: {"rms": totals.squares}}, AttributeError),
    ],
)
def test_a_mistake_is_raised(functions: dict[str, Any], error: type[Exception]):
    with pytest.raises(error):
        rehearse(**functions)


@pytest.mark.parametrize(
    "metric",
    [
        lambda totals: 1 / int(totals["squares"][0] < 0),
        lambda totals: math.log(-totals["squares"][0]),
        lambda totals: totals["squares"][0] / np.float64(0),
    ],
)
def test_numbers_of_one_batch_that_have_no_metric_are_no_mistake(metric: Any, recwarn: pytest.WarningsRecorder):
    rehearse(summarise=lambda totals, examples: {"metric": metric(totals)})
    assert not [warning for warning in recwarn if issubclass(warning.category, RuntimeWarning)]

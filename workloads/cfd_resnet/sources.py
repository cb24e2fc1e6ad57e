"""What depends on whose flows are learned from: our solver's or DeepCFD's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import keras

from launch.node.rank import Rank
from workloads.cfd_resnet import Config, data, deepcfd, held_out, picture
from workloads.cfd_resnet.examples import Examples
from workloads.cfd_resnet.metrics import Metrics, mean_field
from workloads.cfd_resnet.networks import conserving, sized
from workloads.training.api import Data

# The quality of a finished training, for the time to it: the published errors.
GUO = ("error", "<=", 0.0269)  # Guo et al. 2016: 1.98 to 2.69 %
DEEPCFD = ("squared_error", "<=", 1.929)  # Ribeiro et al. 2020, on their own data


class Source(NamedTuple):
    """What depends on whose flows are learned from."""

    model: keras.Model
    train: Data
    validation: Data
    measure: Any  # with statistics and summarise
    finish: Callable[[keras.Model, Path], dict[str, float]]
    target: tuple[str, Literal[">=", "<="], float]


def of_our_solver(config: Config, rank: Rank) -> Source:
    """Flows of our own solver, which are made first where they are missing.

    Raises
    ------
    Refusal
        If the network cannot take flows of that size, or the flows cannot be made.
    """
    flow_set = config.flow_set()
    progress = None if rank.is_chief else lambda line: None
    model = _network(config, flow_set.height, flow_set.width, channels=2 if config.reynolds else 1)
    numbers = config.reynolds or (flow_set.reynolds,)

    def examples(split: str, numbers: tuple[float, ...] = numbers, masks: Path | None = None) -> Examples:
        parts = [
            data.flows(replace(flow_set, reynolds=number, masks=masks), split, progress=progress) for number in numbers
        ]
        return Examples(parts, flow_set.reynolds if config.reynolds else None)

    train, validation = examples("train"), examples("validation")
    sets = [held_out.HeldOut("test", examples("test"))]
    if config.reynolds:
        for number in (*numbers, *config.test_reynolds):
            sets.append(held_out.HeldOut(f"test_re{number:g}", examples("test", (number,)), all_metrics=False))
    if config.masks:
        sets.append(held_out.HeldOut("masks", examples("validation", masks=config.masks)))
    metrics = Metrics(mean_field(train.parts))

    def finish(model: keras.Model, figures: Path) -> dict[str, float]:
        return held_out.measure(model, sets, metrics, config.batch, figures)

    return Source(
        conserving(model) if config.conserve else model,
        Data(len(train) * (2 if config.mirror else 1), train.load, files=train),
        Data(len(validation), validation.load, files=validation),
        metrics,
        finish,
        GUO,
    )


def of_deepcfd(config: Config) -> Source:
    """The flows in DeepCFD's files.

    Raises
    ------
    Refusal
        If they cannot be read or learned from.
    """
    sets = deepcfd.read(config.deepcfd, config.flows)
    height, width, channels = sets.train.inputs.shape[1:]
    model = _network(config, height, width, channels=channels, fields=len(deepcfd.FIELDS))
    measure = deepcfd.Measure(sets)

    def finish(model: keras.Model, figures: Path) -> dict[str, float]:
        inputs, targets = sets.test.load(range(len(sets.test)))
        outputs = model.predict(inputs, config.batch, verbose=0)
        velocity, true = ((fields * sets.scale)[..., :2] for fields in (outputs, targets["flow"]))
        picture.draw(figures / "test.png", targets["mask"], true, velocity, unit="unit of the data")
        totals = {name: value.numpy() for name, value in measure.statistics(targets, outputs).items()}
        return {f"test_{name}": value for name, value in measure.summarise(totals, len(inputs)).items()}

    return Source(
        model,
        Data(len(sets.train) * (2 if config.mirror else 1), sets.train.load),
        Data(len(sets.validation), sets.validation.load),
        measure,
        finish,
        DEEPCFD,
    )


def _network(config: Config, height: int, width: int, **settings: int) -> keras.Model:
    chosen: dict[str, Any] = {}
    if config.network == "fc":
        chosen = {"units": config.width, "hidden": config.hidden}
    elif config.network == "cnn":
        chosen = {"filters": config.width}
    else:
        chosen = {"filters": config.width, "dropout": config.dropout, "position": config.position}
    if not config.width:
        chosen = {name: value for name, value in chosen.items() if name not in ("units", "filters")}
    return sized(config.network, height, width, **chosen, **settings)

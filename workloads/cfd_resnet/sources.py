"""The sources of examples, our solver or DeepCFD's files, and what depends on them: network, measure, final metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import keras
import numpy as np

from launch.errors import Refusal
from launch.node.rank import Rank
from workloads.api import Data
from workloads.cfd_resnet import Config, data, deepcfd, generate, picture
from workloads.cfd_resnet.data import Flows
from workloads.cfd_resnet.metrics import Metrics, mean_field, relative_error
from workloads.cfd_resnet.networks import conserving, sized
from workloads.cfd_resnet.obstacles import Split

# The target quality of a training, for the time to quality: the published errors.
GUO = ("error", "<=", 0.0269)  # Guo et al. 2016: 1.98 to 2.69 %
DEEPCFD = ("squared_error", "<=", 1.929)  # Ribeiro et al. 2020, on their own data
AT_THE_END = ("error", "error_u", "error_v", "flux_error", "drag_error", "times_better", "squared_error")


class Source(NamedTuple):
    """What depends on the source of the examples."""

    model: keras.Model
    train: Data
    validation: Data
    measure: Any  # has the methods statistics and summarise
    finish: Callable[[Any, Path], dict[str, float]]
    target: tuple[str, Literal[">=", "<="], float]


class Examples:
    """Flows of one channel as the network sees them, at one Reynolds number or several.

    Parameters
    ----------
    parts : sequence of Flows
        The flows at each Reynolds number.
    reference : float, optional
        If given, the network gets the Reynolds number: the second channel of the inputs is log2(reynolds / reference),
        the same in all cells. Otherwise the mask is the only channel.
    """

    def __init__(self, parts: Sequence[Flows], reference: float | None = None) -> None:
        self.parts, self._reference = list(parts), reference
        self._ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def of(self, index: np.ndarray) -> list[Path]:
        """Return the files that contain some of the examples: one per Reynolds number."""
        parts = np.unique(np.searchsorted(self._ends, np.asarray(index) % len(self), side="right"))
        return [path for part in parts if (path := _file(self.parts[part]))]

    def read_from(self, copies: Mapping[Path, Path]) -> None:
        """Read, from now on, the copies of files that have one, after verifying their checksums.

        Raises
        ------
        Refusal
            If a copy is damaged.
        """
        for number, flows in enumerate(self.parts):
            path = _file(flows)
            if path is None or path not in copies:
                continue
            try:
                records = generate.read(copies[path], generate.record_type(*flows.mask.shape[1:3]), len(flows))
            except generate.Damaged as error:
                raise Refusal(f"{error}: delete it") from None
            fields = {name: records[name] for name in ("mask", "flow", "drag", "lift")}
            self.parts[number] = replace(flows, **fields)

    def load(self, index: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return inputs (B, H, W, 1 or 2), and the targets ``flow``, ``mask`` and ``reynolds`` (B,).

        Indices from ``len(self)`` on are the same examples, mirrored at the middle of the channel.
        """
        mirrored, which = np.divmod(np.asarray(index), len(self))
        of = np.searchsorted(self._ends, which, side="right")
        starts = self._ends - [len(part) for part in self.parts]
        rows = [(self.parts[part], i) for part, i in zip(of, which - starts[of])]
        mask = np.stack([part.mask[i] for part, i in rows]).astype(np.float32)
        flow = np.stack([part.flow[i] for part, i in rows])
        reynolds = np.array([part.reynolds for part, _ in rows], np.float32)
        turned = mirrored == 1
        mask[turned], flow[turned] = mask[turned, ::-1], flow[turned, ::-1] * np.array((1, -1), np.float32)
        inputs = mask
        if self._reference:
            plane = np.log2(reynolds / np.float32(self._reference))[:, None, None, None]
            inputs = np.concatenate([mask, np.broadcast_to(plane, mask.shape)], axis=-1)
        return inputs, {"flow": flow, "mask": mask, "reynolds": reynolds}


def of_our_solver(config: Config, rank: Rank) -> Source:
    """Return the source of flows from our own solver; missing flows are computed first.

    At the end the network is measured on flows not used for any choice: other shapes (``test_...``), the same at
    each Reynolds number (``test_re<number>_error``), shapes from files (``masks_...``).

    Raises
    ------
    Refusal
        If the network cannot take flows of that size, or the flows cannot be made.
    """
    flow_set = config.flow_set()
    progress = None if rank.is_chief else lambda line: None
    model = _network(config, flow_set.height, flow_set.width, channels=2 if config.reynolds else 1)
    all_numbers = config.reynolds or (flow_set.reynolds,)

    def examples(split: Split, numbers: tuple[float, ...] = all_numbers, masks: Path | None = None) -> Examples:
        parts = [
            data.flows(replace(flow_set, reynolds=number, masks=masks), split, progress=progress) for number in numbers
        ]
        return Examples(parts, flow_set.reynolds if config.reynolds else None)

    train, validation = examples("train"), examples("validation")
    held_out = {"test": examples("test")}
    if config.reynolds:
        held_out |= {f"test_re{n:g}": examples("test", (n,)) for n in (*config.reynolds, *config.test_reynolds)}
    if config.masks:
        held_out["masks"] = examples("validation", masks=config.masks)
    measure = Metrics(mean_field(train.parts))

    def finish(model: Any, figures: Path) -> dict[str, float]:
        metrics = {}
        for name, some in held_out.items():
            inputs, targets = some.load(np.arange(len(some)))
            outputs = model.predict(inputs, config.batch, verbose=0)
            picture.draw(figures / f"{name}.png", targets["mask"], targets["flow"], outputs)
            totals = {key: np.asarray(value) for key, value in measure.statistics(targets, outputs).items()}
            summary = measure.summarise(totals, len(some))
            if name.startswith("test_re"):
                metrics[f"{name}_error"] = summary["error"]
                continue
            metrics |= {f"{name}_{key}": summary[key] for key in AT_THE_END}
            errors = np.asarray(relative_error(outputs, targets["flow"]))
            metrics[f"{name}_error_spread"] = float(errors.std(ddof=1)) if len(some) > 1 else 0.0
        return metrics

    return Source(
        conserving(model) if config.conserve else model,
        Data(len(train) * (2 if config.mirror else 1), train.load, files=train),
        Data(len(validation), validation.load, files=validation),
        measure,
        finish,
        GUO,
    )


def of_deepcfd(config: Config, folder: Path) -> Source:
    """Return the source of flows from DeepCFD's files.

    Raises
    ------
    Refusal
        If they cannot be read or learned from.
    """
    sets = deepcfd.read(folder, config.flows)
    height, width, channels = sets.train.inputs.shape[1:]
    model = _network(config, height, width, channels=channels, fields=len(deepcfd.FIELDS))
    measure = deepcfd.Measure(sets)

    def finish(model: Any, figures: Path) -> dict[str, float]:
        inputs, targets = sets.test.load(np.arange(len(sets.test)))
        outputs = model.predict(inputs, config.batch, verbose=0)
        velocity, true = ((fields * sets.scale)[..., :2] for fields in (outputs, targets["flow"]))
        picture.draw(figures / "test.png", targets["mask"], true, velocity, unit="unit of the data")
        totals = {name: np.asarray(value) for name, value in measure.statistics(targets, outputs).items()}
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
    if config.width:
        chosen["units" if config.network == "fc" else "filters"] = config.width
    if config.network == "fc":
        chosen["hidden"] = config.hidden
    elif config.network != "cnn":
        chosen |= {"dropout": config.dropout, "position": config.position}
    return sized(config.network, height, width, **chosen, **settings)


def _file(flows: Flows) -> Path | None:
    """Return the file that flows are mapped from, if there is one."""
    name = getattr(flows.flow, "filename", None)
    return None if name is None else Path(name)

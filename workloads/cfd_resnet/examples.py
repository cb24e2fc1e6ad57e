"""Flows as the network sees them: inputs and targets for indices, mirrored ones after the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from launch.errors import Refusal
from workloads.cfd_resnet import cache
from workloads.cfd_resnet.data import Flows


class Examples:
    """Flows of one channel, at one Reynolds number or several.

    Parameters
    ----------
    parts : sequence of Flows
        Those at each Reynolds number.
    reference : float, optional
        Given, the network is told the Reynolds number: the second channel of the inputs is log2(reynolds / reference),
        the same in all cells. Else the mask is the only one.
    """

    def __init__(self, parts: Sequence[Flows], reference: float | None = None) -> None:
        self.parts, self._reference = parts, reference
        self._ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def of(self, index: np.ndarray) -> list[Path]:
        """The files that have some of the examples: one for each Reynolds number."""
        parts = np.unique(np.searchsorted(self._ends, np.asarray(index) % len(self), side="right"))
        return [path for part in parts if (path := _file(self.parts[part]))]

    def read_from(self, copies: Mapping[Path, Path]) -> None:
        """From now on read the copy of each file that has one; its checksum is looked at.

        Raises
        ------
        Refusal
            If a copy is damaged.
        """
        self.parts = [_mapped(part, copies[path]) if (path := _file(part)) in copies else part for part in self.parts]

    def load(self, index: np.ndarray | range) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Inputs (B, H, W, 1 or 2), and the targets ``flow``, ``mask`` and ``reynolds`` (B,); from ``len(self)`` on they are mirrored."""
        mirrored, which = np.divmod(np.asarray(index), len(self))
        of = np.searchsorted(self._ends, which, side="right")
        starts = self._ends - [len(part) for part in self.parts]
        rows = [(self.parts[part], i) for part, i in zip(of, which - starts[of])]
        mask = np.stack([part.mask[i] for part, i in rows]).astype(np.float32)
        flow = np.stack([part.flow[i] for part, i in rows])
        reynolds = np.array([part.reynolds for part, _ in rows], np.float32)
        turn = mirrored == 1
        mask[turn], flow[turn] = mask[turn, ::-1], flow[turn, ::-1] * np.float32((1, -1))
        inputs = mask
        if self._reference:
            plane = np.log2(reynolds / np.float32(self._reference))[:, None, None, None]
            inputs = np.concatenate([mask, np.broadcast_to(plane, mask.shape)], axis=-1)
        return inputs, {"flow": flow, "mask": mask, "reynolds": reynolds}


def _file(flows: Flows) -> Path | None:
    """The file that they are mapped from."""
    name = getattr(flows.flow, "filename", None)
    return None if name is None else Path(name)


def _mapped(flows: Flows, path: Path) -> Flows:
    """The same flows, from another file."""
    try:
        records = cache.read(path, cache.record_type(*flows.mask.shape[1:3]), len(flows))
    except cache.Damaged as error:
        raise Refusal(f"{error}: delete it") from None
    return replace(flows, **{name: records[name] for name in ("mask", "flow", "drag", "lift")})

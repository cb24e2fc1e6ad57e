"""Flows as the network sees them: inputs and targets for indices, mirrored ones after the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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

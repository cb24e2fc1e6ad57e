"""Published facts about the data: channels, classes, their frequencies, and the weight of each class in the loss."""

from __future__ import annotations

CHANNELS = (
    "TMQ", "U850", "V850", "UBOT", "VBOT", "QREFHT", "PS", "PSL",
    "T200", "T500", "PRECT", "TS", "TREFHT", "Z1000", "Z200", "ZBOT",
)  # fmt: skip
"""In order, with units: TMQ kg/m2; winds m/s; QREFHT kg/kg; pressures Pa; temperatures K; PRECT m/s; heights m."""

CLASSES = ("background", "tropical cyclone", "atmospheric river")
CYCLONE, RIVER = 1, 2

FREQUENCIES = (0.986267818390377, 0.0004578708870701058, 0.01327431072255291)
"""Those of the classes in the published training set: 98.6, 0.05 and 1.3 % in SC18, digits as in MLPerf HPC's code."""

WEIGHTINGS = ("none", "inverse", "sqrt", "mlperf")


def weights(weighting: str, frequencies: tuple[float, ...] = FREQUENCIES) -> tuple[float, ...]:
    """Return the weight of each class in the cross-entropy.

    Parameters
    ----------
    weighting : {"none", "inverse", "sqrt", "mlperf"}
        none: 1 each. inverse: 1 / f, normalised: all classes count the same, and a false alarm on background costs
        almost nothing; SC18 found it unstable. sqrt: 1 / sqrt(f), normalised, as in SC18. mlperf: f^-0.125, as in
        MLPerf HPC. Normalised weights have the sum 1.
    frequencies : tuple of float
        Frequency f of each class.

    Returns
    -------
    tuple of float
    """
    power = {"none": 0.0, "inverse": -1.0, "sqrt": -0.5, "mlperf": -0.125}[weighting]
    values = [frequency**power for frequency in frequencies]
    total = sum(values) if weighting in ("inverse", "sqrt") else 1.0
    return tuple(value / total for value in values)

"""The options of the verbs that show what runs cost."""

from dataclasses import dataclass
from pathlib import Path

from launch.errors import Refusal
from profiling.study import cost
from profiling.study.cost import Tariff


@dataclass(frozen=True)
class Costed:
    """The options that say what electricity and hours cost."""

    carbon_intensity: str | None = None  # CO2e of the electricity with its unit, as 380g/kWh or 0.38kg/kWh: adds the
    # CO2e of the GPUs' energy; there is no default, as it differs by place and time
    price: str | None = None  # of an hour of a GPU (without GPUs of a node), as 2.5, 2.5EUR/GPU-hour or 12/node-hour:
    # adds what runs cost

    @property
    def tariff(self) -> Tariff:
        """The tariff that these options state."""
        return cost.tariff(self.carbon_intensity, self.price)

    def refuse_for_table(self, path: Path) -> None:
        """Refuse options of costs for a table, which records neither hours nor energy."""
        for option, given in (("--carbon-intensity", self.carbon_intensity), ("--price", self.price)):
            if given is not None:
                raise Refusal(f"{option} is for studies, and {path} is a table, of which no hours and energy are known")

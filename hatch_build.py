"""Where a wheel has the package rankloop: in launch/inside for ranks of any Python, and at its top for its own."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Hook(BuildHookInterface):
    """An editable installation finds it in launch/inside."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":
            build_data["force_include"]["launch/inside/rankloop"] = "rankloop"

"""What the tests of this folder begin first."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from schedulers.begun import Begun, begun_under


@pytest.fixture(scope="session", autouse=True)
def begun(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Begun]]:
    """The runs that mostly wait, by their scheduler, where any test asks for them."""
    here = [item for item in request.session.items if item.path.parent == Path(__file__).parent]
    asked = [item for item in here if "ended" in getattr(item, "fixturenames", ())]
    names = {item.callspec.params["ended"] for item in asked}  # type: ignore[attr-defined]
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(begun_under(name, tmp_path_factory.mktemp(name))) for name in names}

"""Site files: every value names its source, and every source can be looked up."""

import re
from pathlib import Path

import pytest

from launch.plan import site, this_site

FILES = sorted(site.FOLDER.glob("*.toml"))


def values(text: str) -> list[tuple[str, str]]:
    """The lines of a site file that hold a value: key, and the comment behind it."""
    found = []
    for line in text.splitlines():
        if match := re.fullmatch(r"([A-Za-z_]+) *= *(.*)", line):
            # The last # outside quotes; no value in these files has one inside.
            found.append((match[1], match[2].rpartition("#")[2] if "#" in match[2] else ""))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_value_has_a_source(path: Path):
    text = path.read_text()
    sources = dict(re.findall(r"^# \[(\w+)\]\s+(.*)$", text, re.MULTILINE))
    assert sources
    for tag, source in sources.items():
        assert re.search(r"https?://\S+$", source) or path.stem == "laptop", f"[{tag}] cannot be looked up"
        read = re.search(r"\(([^()]*, )?read (before )?20\d\d-\d\d(-\d\d)?\)", source)
        assert read or path.stem in this_site.FALLBACKS, f"[{tag}] does not say when it was read"
    used = set()
    for key, comment in values(text):
        if key == "description":
            continue
        match = re.match(r" *\[(\w+)\] \S", comment)
        assert match, f"{path.name}: {key} has no source"
        assert match[1] in sources, f"{path.name}: {key} cites [{match[1]}], which the head of the file lacks"
        used.add(match[1])
    assert used == set(sources), "a source that no value cites"


def test_a_value_without_a_source_is_found():
    """The test above is no empty one: it sees each value of the files, in whatever table it stands."""
    for path in FILES:
        told = site.load(path.stem)
        keys = {key for key, _ in values(path.read_text())}
        assert "description" in keys
        for name, default in (("gpus_per_node", None), ("partition", None), ("network_interface", None)):
            assert (name in keys) == (getattr(told, name) != default)
        assert set(told.env) | set(told.directives) <= keys
        assert {key for limits in told.partitions.values() for key in limits} <= keys


def test_what_recognises_a_site_is_found_without_reading_the_whole_file():
    assert {name: this_site._identify(name) for name in site.names()} == {
        name: site.load(name).identify for name in site.names()
    }


def test_what_a_site_asks_for_by_default_is_within_its_limits():
    for told in map(site.load, site.names()):
        assert told.partition is None or not told.partitions or told.partition in told.partitions
        if told.gpus_per_node and told.cpus_per_node:
            assert told.cpus_per_node % told.gpus_per_node == 0

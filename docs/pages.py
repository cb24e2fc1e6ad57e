"""Pages of the site that do not lie in this folder: the README and its neighbours, and every option of every command.

A link to a file that is not part of the site, such as a source file, becomes the name of that file.
"""

import os
import re
from functools import partial
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from launch import __main__ as launch
from launch.cli import verbs

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "DESIGN.md": "design.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
_LINK = re.compile(r"\[([^\[\]]*)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in this folder."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    files.append(File.generated(config, "options.md", content=_options()))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Have links lead to the pages of the site."""
    sources = {name: source for source, name in PAGES.items()}
    here = ROOT / "docs" / page.file.src_uri if page.file.src_uri not in sources else ROOT / sources[page.file.src_uri]
    return _LINK.sub(partial(_of_site, here.parent, Path(page.file.src_uri).parent), markdown)


def _of_site(folder: Path, page: Path, link: re.Match[str]) -> str:
    target = (folder / link[2]).resolve()
    name = os.path.relpath(target, ROOT)
    if name in PAGES:
        inside = PAGES[name]
    elif name.startswith("docs/") and target.is_file():
        inside = name.removeprefix("docs/")
    else:
        return link[1] if f"`{name}`" in link[1] else f"{link[1]} (`{name}`)"
    return f"[{link[1]}]({os.path.relpath(inside, page)}{link[3] or ''})"


def _options() -> str:
    """The help of the command and of every verb."""
    parts = [
        "# Options",
        "As `rankloop --help` and `rankloop VERB --help` print them.",
        "## rankloop",
        _block(launch.usage([])),
    ]
    for verb in verbs.VERBS:
        parts += [f"## {verb}", _block(verbs.help_of(verb))]
    return "\n\n".join(parts)


def _block(text: str) -> str:
    return "```text\n" + text + "\n```"

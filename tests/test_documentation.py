"""The documentation as a site."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_site_is_built_without_a_warning_and_needs_no_network(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {page.relative_to(tmp_path / "site"): page.read_text() for page in (tmp_path / "site").rglob("*.html")}
    assert {Path(name) for name in ("index.html", "api.html", "options.html", "design.html")} <= pages.keys()
    fetched = [
        (page, link)
        for page, text in pages.items()
        for link in re.findall(r"<(?:link|script|img)\b[^>]*(?:href|src)=\"?(https?://[^\">\s]+)", text)
        if "canonical" not in link
    ]
    assert not fetched
    assert "--max-attempts" in pages[Path("options.html")] and "stop_requested" in pages[Path("api.html")]

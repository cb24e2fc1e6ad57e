"""Names and texts as TOML writes them."""

import json
import re


def string(text: str) -> str:
    """Return a text in quotes."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # allowed in JSON, but not in TOML


def key(name: str) -> str:
    """Return a part of the name of a table."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else string(name)

"""Launch programs on many ranks, on this machine or by a scheduler: python -m launch."""

from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
"""The folder in which the toolkit lies: its packages, jobs/ and modules/."""

"""TOML files that say what to run."""

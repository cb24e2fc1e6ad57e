"""The job in which the launcher runs."""

"""The job that a script is part of."""

"""The code of a run: found, copied, compared, and the changes that are in no commit."""

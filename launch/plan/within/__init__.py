"""The job in which this process runs, of whichever scheduler."""

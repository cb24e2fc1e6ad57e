"""A study: runs that differ along axes (nodes, options, seeds), and their repeats, in one folder."""

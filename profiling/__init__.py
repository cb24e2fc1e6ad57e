"""Analysis of runs: from the records of their steps to tables, reports and predictions."""

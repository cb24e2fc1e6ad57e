"""A table of numbers -> one of its columns: gradient-boosted trees by XGBoost, on all ranks together.

    python -m launch --nodes 2 workloads.trees --rows 200000
    python -m launch --nodes 2 workloads.trees --data houses.csv --target price --compare
    python -m launch --nodes 1,2,4 --scaling strong --name trees workloads.trees --rows 1000000

It is a program, not a network: it finds the other ranks by MASTER_ADDR and MASTER_PORT, and records each round of
boosting as a step. It ends with the RMSE on rows that it has not seen. See docs/workloads/trees.md.

Data: a csv file with a header, all numbers; without --data Friedman's first function, generated
Time: 3 s for 50 rounds on 100,000 rows, and its start
"""

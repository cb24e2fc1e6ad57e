"""A chaotic field -> its future, by reservoirs side by side: the Kuramoto-Sivashinsky equation.

    python -m launch workloads.chaos
    python -m launch --nodes 2 workloads.chaos --length 200 --points 512 --groups 64 --alike --train 700

It is a program, not a network: each rank has some of the reservoirs, fits them by ridge regression, and exchanges the
edges of its part of the field with its neighbours, by MPI, at each step of the prediction. It ends with the time for
which the prediction is valid, in Lyapunov times, and figures/chaos.png. See docs/workloads/chaos.md.

Data: none: it integrates the equation
Time: a minute for one reservoir of 5,000 units
"""

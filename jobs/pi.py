"""Pi, from random points in a square: a program whose ranks need nothing of each other.   python -m launch demo"""

import random

import rankloop

POINTS, inside, total = 200_000, 0, 0
for _ in rankloop.steps(range(25), examples=POINTS):
    points = ((random.random(), random.random()) for _ in range(POINTS))
    inside += sum(x * x + y * y < 1 for x, y in points)
    total += POINTS
rankloop.result(pi=4 * inside / total)

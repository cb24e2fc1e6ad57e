"""One step of the D2Q9 lattice with two relaxation times: collide, stream, meet walls; compiled by XLA for CPU and GPU.

The populations are 9 arrays (slots, cells): the cells of a flow lie row after row, so a step to a neighbour is a shift.
"""

import numpy as np
import tensorflow as tf

# In pairs: the opposite of i is i + 1 for odd i, i - 1 for even i > 0. Columns: along (axis 1), across (axis 0).
DIRECTIONS = np.array([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1)])
WEIGHTS = np.array([4 / 9] + [1 / 9] * 4 + [1 / 36] * 4)
OPPOSITE = np.array([0, 2, 1, 4, 3, 6, 5, 8, 7])
SOUND = 3**-0.5  # speed of sound, cells per step


def moments(g):
    """Density (its deviation from 1) and momentum, along and across."""
    density = g[0] + (g[1] + g[2]) + (g[3] + g[4]) + (g[5] + g[6]) + (g[7] + g[8])
    u = (g[1] - g[2]) + (g[5] - g[6]) + (g[7] - g[8])
    v = (g[3] - g[4]) + (g[5] - g[6]) - (g[7] - g[8])
    return density, u, v


@tf.function(jit_compile=True)
def advance(populations, walls, obstacles, distance, faces, relaxation, steps, length):
    """Take some steps with flows of rows of ``length`` cells.

    Returns the populations, the force on the obstacles (slots, 2), and the L2 norms (slots,) of what the velocity has
    changed since the start and of the velocity itself.
    """
    walls = tf.unstack(walls)
    distance = None if distance is None else tf.unstack(distance)

    def step(g):
        return collide_and_stream(g, walls, distance, faces, relaxation, length)[1]

    _, u0, v0 = moments(populations)
    _, *g = tf.while_loop(lambda t, *g: t < steps - 1, lambda t, *g: (t + 1, *step(g)), (tf.constant(0), *populations))
    collided, g = collide_and_stream(g, walls, distance, faces, relaxation, length)
    force = 0.0
    for k, obstacle in enumerate(tf.unstack(obstacles)):
        # What leaves towards the obstacle and what comes back; pressure counts from that of the outlet.
        exchanged = tf.reduce_sum(tf.where(obstacle, collided[OPPOSITE[k + 1]] + g[k + 1], 0.0), axis=1)
        force += exchanged[:, None] * -DIRECTIONS[k + 1].astype(np.float32)
    _, u, v = moments(g)
    moved = tf.sqrt(tf.reduce_sum((u - u0) ** 2 + (v - v0) ** 2, axis=1))
    return g, force, moved, tf.sqrt(tf.reduce_sum(u**2 + v**2, axis=1))


def collide_and_stream(g, walls, distance, faces, relaxation, length):
    """Collide, then stream: the populations (9 of (slots, cells)) between the two, and after both."""
    density, u, v = moments(g)
    even, odd = 0.5 * relaxation[0], 0.5 * relaxation[1]
    rest = density - 1.5 * (u * u + v * v)
    collided = [g[0] - 2 * even * (g[0] - WEIGHTS[0] * rest)]
    for i in (1, 3, 5, 7):
        along, across = map(float, DIRECTIONS[i])
        speed = along * u + across * v
        relaxed = even * (g[i] + g[i + 1] - 2 * WEIGHTS[i] * (rest + 4.5 * speed * speed))
        turned = odd * (g[i] - g[i + 1] - 6 * WEIGHTS[i] * speed)
        collided += [g[i] - relaxed - turned, g[i + 1] - relaxed + turned]
    streamed = [collided[0]] + [_stream(collided[i], DIRECTIONS[i], length) for i in range(1, 9)]

    sources, outlets, mean = faces
    if any(outlet is not None for outlet in outlets):
        # The outlet answers a plane wave as an endless channel would: pressure excess = impedance x velocity excess.
        # So it does not echo, and the mean pressure there is 0 once as much flows out as in.
        excess = (tf.reduce_mean(u[:, length - 1 :: length], axis=1, keepdims=True) - mean) / SOUND
    out = [streamed[0]]
    for i in range(1, 9):
        back, arrived = OPPOSITE[i], streamed[i]
        if outlets[i - 1] is not None:
            # Behind the outlet lies a column like the last one, but for the pressure.
            beyond = _stream(collided[i] + WEIGHTS[i] * (excess - density), (0, DIRECTIONS[i][1]), length)
            arrived = tf.where(outlets[i - 1], beyond, arrived)
        bounced = collided[back]
        if distance is not None:
            q = distance[i - 1]
            near = 2 * q * bounced + (1 - 2 * q) * streamed[back]
            far = (bounced + (2 * q - 1) * collided[i]) / (2 * q)
            bounced = tf.where(q < 0.5, near, far)
        if sources[i - 1] is not None:
            bounced += sources[i - 1]
        out.append(tf.where(walls[i - 1], bounced, arrived))
    return collided, out


def _stream(populations, direction, length):
    """Move by one cell. What comes around the end of a row meets a wall, the inlet or the outlet there."""
    shift = int(np.dot(direction, (1, length)))
    if shift > 0:
        return tf.pad(populations[:, :-shift], [[0, 0], [shift, 0]])
    return tf.pad(populations[:, -shift:], [[0, 0], [0, -shift]])

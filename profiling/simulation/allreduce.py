"""What an allreduce costs: the alpha-beta formulas of the usual algorithms. A message of n bytes takes alpha + n beta.

================== ============================================ ====================================================
algorithm          seconds for n bytes on p ranks               source
================== ============================================ ====================================================
ring               2 (p - 1) alpha + 2 (p - 1) / p n beta       Patarasuk & Yuan 2009; Thakur et al. 2005, section 4.5
tree               2 L alpha + 2 n beta                         NCCL 2.4's double binary trees (Jeaugey 2019), pipelined
recursive-doubling L (alpha + n beta) [+ 2 (alpha + n beta)]    Thakur et al. 2005, section 4.5 [and 4.4]
halving-doubling   2 L alpha + 2 (p' - 1) / p' n beta           Rabenseifner 2004; Thakur et al. 2005, section 4.5
                   [+ 3 alpha + 2 n beta]                       [and 5.1]
hierarchical       reduce-scatter and allgather in the node,    Horovod's HOROVOD_HIERARCHICAL_ALLREDUCE and NCCL's
                   in between one of the above over the nodes   trees; Kurth et al. 2018, section V-A4
================== ============================================ ====================================================

L = ceil(log2 p) for the tree, floor(log2 p) for the two others, p' = 2^L. The parts in brackets apply if p is not a
power of two, and r = p - p' ranks take no part in the rounds:

- Section 4.4 (there of a reduce-scatter): each of the r sends all its data to a neighbour, and gets the result from it.
- Section 5.1: each of the r and its neighbour exchange halves (alpha + n beta / 2), so that each adds up one half. The
  neighbour gets the other half (alpha + n beta / 2), and at the end sends the result (alpha + n beta). In all
  (3 + 2 L) alpha + 4 n beta - 2 n beta / p'.

The additions themselves are left out: they cost less than moving their data through memory. All formulas are without
contention: the network gives every node its full speed at any size.

R. Thakur, R. Rabenseifner, W. Gropp, "Optimization of Collective Communication Operations in MPICH", IJHPCA 19(1),
2005. Its text was not at hand when this was written: the terms of section 5.1 are as others quote them, and agree with
the messages that it describes, which a test counts.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args


@dataclass(frozen=True)
class Link:
    """A link, in one direction."""

    latency_s: float  # alpha: latency of a message
    bytes_per_s: float  # 1 / beta


@dataclass(frozen=True)
class Links:
    """The links of a cluster, by one protocol."""

    between: Link  # from a node to the others, over all its adapters together
    within: Link  # from a rank to another one on its node


@dataclass(frozen=True)
class Cluster:
    """Nodes, and the links in and between them."""

    nodes: int
    ranks_per_node: int
    links: tuple[Links, ...]  # one per protocol; each message takes the one that is fastest for it

    @property
    def ranks(self) -> int:
        """Number of ranks on all nodes."""
        return self.nodes * self.ranks_per_node


def ring(size: float, ranks: int, link: Link) -> float:
    """Return the seconds of a ring allreduce of ``size`` bytes."""
    return 2 * (ranks - 1) * (link.latency_s + size / ranks / link.bytes_per_s)


def tree(size: float, ranks: int, link: Link) -> float:
    """Return the seconds of an allreduce along pipelined binary trees, up and down."""
    if ranks == 1:
        return 0.0
    return 2 * math.ceil(math.log2(ranks)) * link.latency_s + 2 * size / link.bytes_per_s


def recursive_doubling(size: float, ranks: int, link: Link) -> float:
    """Return the seconds of an allreduce by recursive doubling: few messages, each with all the data."""
    levels = ranks.bit_length() - 1
    return (levels + 2 * (ranks != 2**levels)) * (link.latency_s + size / link.bytes_per_s)


def halving_doubling(size: float, ranks: int, link: Link) -> float:
    """Return the seconds of an allreduce by recursive halving, then doubling."""
    levels = ranks.bit_length() - 1
    even = 2 * levels * link.latency_s + 2 * (1 - 1 / 2**levels) * size / link.bytes_per_s
    return even + (ranks != 2**levels) * (3 * link.latency_s + 2 * size / link.bytes_per_s)


FLAT = {
    "ring": ring,
    "tree": tree,
    "recursive-doubling": recursive_doubling,
    "halving-doubling": halving_doubling,
}
"""Name -> function of (bytes, ranks, link) that returns seconds, for ranks that all have the same link."""

Algorithm = Literal[
    "auto",
    "ring",
    "tree",
    "recursive-doubling",
    "halving-doubling",
    "hierarchical-ring",
    "hierarchical-tree",
    "hierarchical-recursive-doubling",
    "hierarchical-halving-doubling",
]
"""Names that `seconds` takes: algorithms that ignore nodes, or that reduce within the nodes and then between them."""
ALGORITHMS = get_args(Algorithm)


def seconds(size: float, cluster: Cluster, algorithm: Algorithm = "auto") -> float:
    """Return the seconds of an allreduce of ``size`` bytes; "auto" is the fastest algorithm for it, as in NCCL, MPI."""
    if cluster.ranks == 1 or size == 0:
        return 0.0
    names = ALGORITHMS[1:] if algorithm == "auto" else [algorithm]
    return min(_seconds(size, cluster, links, name) for name in names for links in cluster.links)


def _seconds(size: float, cluster: Cluster, links: Links, algorithm: str) -> float:
    if algorithm in FLAT:
        return FLAT[algorithm](size, cluster.ranks, _as_one(cluster, links, algorithm))
    inner = FLAT[algorithm.removeprefix("hierarchical-")]
    # Each rank reduces its part of the data with its peers on other nodes; all parts share the node's adapters.
    return ring(size, cluster.ranks_per_node, links.within) + inner(size, cluster.nodes, links.between)


def negotiation(cluster: Cluster) -> float:
    """Return the seconds until ranks agree on what all have ready: two tiny allreduces, by recursive doubling.

    Horovod does this since 0.16, once its response cache knows the tensors (controller.cc, response_cache.cc).
    """
    links = (_as_one(cluster, links, "recursive-doubling") for links in cluster.links)
    return 2 * min(recursive_doubling(0, cluster.ranks, link) for link in links)


def _as_one(cluster: Cluster, links: Links, algorithm: str) -> Link:
    """Return the link between any two ranks, for an algorithm that does not distinguish nodes."""
    between, within = links.between, links.within
    if cluster.nodes == 1:
        return within
    if cluster.ranks_per_node == 1:
        return between
    latency = max(between.latency_s, within.latency_s)
    if algorithm == "ring":  # most hops are within a node, and the data pass all hops one after the other
        hops = cluster.ranks - 1
        out = (cluster.nodes - 1) / hops
        latency = out * between.latency_s + (1 - out) * within.latency_s
    # In a ring or tree one stream leaves a node, as ranks are numbered by node; else each rank's partner is remote.
    streams = cluster.ranks_per_node if algorithm.endswith("doubling") else 1
    return Link(latency, min(between.bytes_per_s / streams, within.bytes_per_s))

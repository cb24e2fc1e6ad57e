"""The graph of a network's forward pass, as TensorBoard shows it: the equations of its jaxpr."""

from __future__ import annotations

from collections import Counter
from typing import Any

import jax
import numpy as np
from jax.extend.core import Literal

from workloads.api import Workload


def graph(workload: Workload) -> bytes:
    """See `engines.interface.Engine`."""
    model = workload.model
    inputs, _ = workload.validation.load(np.arange(1))
    values = ([v.value for v in each] for each in (model.trainable_variables, model.non_trainable_variables))
    forward = jax.make_jaxpr(lambda *arguments: model.stateless_call(*arguments, training=False)[0])
    jaxpr = forward(*values, inputs).jaxpr
    drawn = _Drawing()
    names = [variable.path for variable in (*model.trainable_variables, *model.non_trainable_variables)]
    for place, variable in enumerate(jaxpr.invars):
        drawn.add(variable, names[place] if place < len(names) else "input", "Placeholder", [])
    drawn.equations(jaxpr, "")
    return drawn.graph.SerializeToString()


class _Drawing:
    """The nodes of a graph, and which of them made which variable of a jaxpr."""

    def __init__(self) -> None:
        from tensorboard.compat.proto.graph_pb2 import GraphDef  # not needed by a training without TensorBoard

        self.graph: Any = GraphDef()
        self._makers: dict[Any, str] = {}
        self._names: Counter[str] = Counter()

    def add(self, variable: Any, name: str, operation: str, sources: list[str]) -> None:
        """Draw what makes a variable."""
        self._names[name] += 1
        name += f"_{self._names[name]}" if self._names[name] > 1 else ""
        self.graph.node.add(name=name, op=operation, input=sources)
        self._makers[variable] = name

    def equations(self, jaxpr: Any, scope: str) -> None:
        """Draw all equations; in place of one that calls a function, those of the function."""
        for equation in jaxpr.eqns:
            stack = "/".join(part for part in (scope, str(equation.source_info.name_stack)) if part)
            called = equation.params.get("jaxpr") or equation.params.get("call_jaxpr")
            inner = getattr(called, "jaxpr", called)
            if inner is not None and len(inner.invars) == len(equation.invars):
                self._pass_on(equation.invars, inner.invars)
                self.equations(inner, stack)
                self._pass_on(inner.outvars, equation.outvars)
                continue
            kind = equation.primitive.name
            sources = [self._makers[v] for v in equation.invars if self._known(v)]
            self.add(equation.outvars[0], f"{stack}/{kind}" if stack else kind, kind, sources)
            for other in equation.outvars[1:]:
                self._makers[other] = self._makers[equation.outvars[0]]

    def _known(self, variable: Any) -> bool:
        return not isinstance(variable, Literal) and variable in self._makers

    def _pass_on(self, variables: Any, others: Any) -> None:
        for variable, other in zip(variables, others):
            if self._known(variable):
                self._makers[other] = self._makers[variable]

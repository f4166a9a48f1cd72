"""What forms are compared with: the outputs of the oracle, and how they lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from biport import reference
from biport.compare.evidence import Evidence, View, gather, graph_views
from biport.compare.outcomes import Results
from biport.compare.tolerance import Error
from biport.graph import Graph

Arrays = Sequence[np.ndarray]


@dataclass(frozen=True)
class OracleOutputs:
    """What forms are compared with.

    Args:
        outputs: by case.
        views: how each output lies.
        masks: by case and name, those of the views.
    """

    outputs: Results
    views: Sequence[View]
    masks: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)

    def evidence(
        self, results: Results | str, position: int, error: Error, absolute: bool = False
    ) -> Evidence | None:
        """How the errors of one output of a form lie."""
        if isinstance(results, str) or any(len(given) != len(self.views) for given in results.values()):
            return None
        view = self.views[position]
        return gather(
            {case: arrays[position] for case, arrays in results.items()},
            {case: arrays[position] for case, arrays in self.outputs.items()},
            error,
            view,
            {case: known[view.mask] for case, known in self.masks.items() if view.mask is not None},
            absolute,
        )

    def of(self, position: int) -> dict[str, np.ndarray]:
        """One output, by case."""
        return {case: arrays[position] for case, arrays in self.outputs.items()}

    def valid(self, position: int) -> dict[str, np.ndarray] | None:
        """By case which steps of an output are no padding, bool ``(N, T)``; ``None`` where no mask says."""
        view = self.views[position]
        if view.mask is None or not view.own_steps:
            return None
        return {case: known[view.mask] for case, known in self.masks.items()}


def graph_oracle(graph: Graph, cases: Mapping[str, Arrays]) -> OracleOutputs:
    """The oracle of a graph: `biport.reference` in float64."""
    exact, views = reference.InDtype(graph), graph_views(graph)
    wanted = {view.mask for view in views if view.mask is not None}
    outputs: dict[str, Sequence[np.ndarray]] = {}
    masks = {}
    for case, arrays in cases.items():
        values = exact.trace(arrays)
        outputs[case] = [values[name] for name in graph.outputs]
        masks[case] = {name: values[name] for name in wanted}
    return OracleOutputs(outputs, views, masks)

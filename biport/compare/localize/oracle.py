"""What every value of a graph should be, and how far from it rounding may carry one."""

from __future__ import annotations

from enum import StrEnum
from functools import cache

import numpy as np

from biport import reference
from biport.compare.localize.traced import Cases, Values
from biport.compare.tolerance import Verdict, float32_floor, judge_float32, measure
from biport.graph import Graph, Node
from biport.inputs import letters


class State(StrEnum):
    """What is known of a value of a form."""

    AGREES = "agrees"
    DIFFERS = "differs"
    HIDDEN = "hidden"


class Oracle:
    """Every value of ``graph`` in float64, by case, judged by `biport.compare.tolerance`.

    Args:
        graph: the model.
        cases: its inputs, by case.
    """

    def __init__(self, graph: Graph, cases: Cases) -> None:
        self.graph = graph.astype("float64")
        self.sizes = {case: letters(graph.inputs, arrays) for case, arrays in cases.items()}
        self.exact = {case: reference.trace(self.graph, arrays) for case, arrays in cases.items()}
        single = graph.astype("float32")
        self._rounded = {case: reference.trace(single, arrays, "float32") for case, arrays in cases.items()}
        self._floor = float32_floor(graph)
        self.allowed = cache(self._allowed)

    def _by_case(self, values: dict[str, Values], name: str) -> dict[str, np.ndarray]:
        return {case: _number(known[name]) for case, known in values.items() if name in known}

    def _allowed(self, name: str) -> float | None:
        """The largest error of ``name`` that rounding explains; ``None`` where it explains any."""
        exact = self._by_case(self.exact, name)
        error = measure(self._by_case(self._rounded, name), exact)
        verdict, allowed = judge_float32(error, error, None, self._floor)
        return None if verdict is Verdict.ILL_CONDITIONED else allowed

    def state(self, name: str, arrays: dict[str, np.ndarray]) -> State:
        """Whether ``arrays``, by case, are the value ``name``."""
        allowed = self.allowed(name)
        if allowed is None or not arrays:
            return State.HIDDEN
        exact = {case: _number(self.exact[case][name]) for case in arrays}
        error = measure({case: _number(array) for case, array in arrays.items()}, exact)
        return State.AGREES if error.maximum <= allowed else State.DIFFERS

    def agrees(self, name: str, case: str, array: np.ndarray, wanted: np.ndarray) -> bool:
        """Whether two arrays that stand for the value ``name`` are the same but for rounding."""
        allowed = self.allowed(name) or 0.0
        if array.shape != wanted.shape:
            return False
        return measure({case: _number(array)}, {case: _number(wanted)}).maximum <= allowed

    def sources(self, node: Node, case: str) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
        """The inputs and the masks of ``node``."""
        values = self.exact[case]
        masks = [None if mask is None else values[mask] for mask in node.masks]
        return [values[name] for name in node.inputs], masks


def _number(array: np.ndarray) -> np.ndarray:
    return array.astype("int8") if array.dtype == bool else array

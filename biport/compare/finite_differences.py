"""How the loss of a model changes with each weight, by differences of the numpy reference.

No framework, and no derivative anybody wrote, has a part in this: a weight is moved a little along a random
direction, there and back, and the outputs are computed anew. It is good to about seven digits.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from biport import reference
from biport.graph import Graph, trained
from biport.inputs import id_inputs
from biport.ops import FLOATS, FeaturesNotEqual, ToIds

STEP = 1e-5
"""What a number is moved by, there and back: the slope is then off by about 1e-10 of its third derivative."""
SHORT_STEP = 1e-6
"""What it is moved by to look at either side of a kink."""
EPS = float(np.finfo(np.float64).eps)

Cotangents = Sequence[np.ndarray | None]
Gradient = tuple[float, dict[str, np.ndarray]]
"""The loss, and how it changes with each weight, ``node.path``, and each float input."""


@dataclass(frozen=True)
class Slope:
    """How the loss changes along one direction of one weight.

    Args:
        direction: of the weight's shape, each number -1 or 1, or 0 where it may not be moved.
        central: the slope, by a step in both directions.
        noise: what rounding may do to it.
        sides: gives the slopes to either side, by a shorter step.
    """

    direction: np.ndarray
    central: float
    noise: float
    sides: Callable[[], tuple[float, float]]

    def distance(self, gradient: np.ndarray, enough: float) -> float:
        """How far ``<gradient, direction>`` is from the slope.

        At a kink, of relu or of a maximum, the slopes to either side differ, and whatever is between them
        is a gradient. Where the loss is smooth they are within about 1e-6 of one another.

        Args:
            gradient: of the weight's shape.
            enough: how near is near enough not to look at either side.
        """
        slope = float((gradient * self.direction).sum())
        distance = abs(slope - self.central)
        if distance <= enough:
            return distance
        low, high = sorted(self.sides())
        return min(distance, max(0.0, low - slope, slope - high))


class Slopes:
    """The slopes of a model's loss ``Σ <output, cotangent>`` over one batch.

    Args:
        graph: the model, in float64.
        inputs: an array for each input.
        seed: of the cotangents and the directions.
    """

    def __init__(self, graph: Graph, inputs: Sequence[np.ndarray], seed: int = 0) -> None:
        self._graph, self._seed = graph, seed
        self._values = reference.trace(graph, inputs)
        self._ops = {
            f"{node.name}.{path}": (node.op, path) for node in graph.nodes for path in node.op.weights()
        }
        self._weights = trained(graph)
        self._inputs = {
            value.name: self._values[value.name] for value in graph.inputs if value.dtype in FLOATS
        }
        self._known: dict[str, Slope] = {}
        self._outputs = [self._values[name] for name in graph.outputs]
        rng = np.random.default_rng(seed)
        self.cotangents: Cotangents = [
            rng.normal(size=output.shape) if output.dtype.kind == "f" else None for output in self._outputs
        ]
        """Random ones; outputs that are no floats do not count."""
        self.loss = self._sum(self._outputs)
        self.size = sum(
            float(np.abs(output * cotangent).sum())
            for output, cotangent in zip(self._outputs, self.cotangents, strict=True)
            if cotangent is not None
        )
        """What the loss is the rest of: ``Σ |output · cotangent|``."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of whatever has a gradient: weights by path, float inputs by name."""
        return {path: array.shape for path, array in (self._weights | self._inputs).items()}

    def __getitem__(self, path: str) -> Slope:
        """The slope along a random direction of the weight or input ``path``, always the same one."""
        if path not in self._known:
            self._known[path] = self._measure(path)
        return self._known[path]

    def _measure(self, path: str) -> Slope:
        rng = np.random.default_rng((self._seed, 1, zlib.crc32(path.encode())))
        direction = rng.choice([-1.0, 1.0], self.shapes[path])
        if path in self._inputs:
            direction[self._padded(path)] = 0
        moves = direction.copy()
        if path in self._ops and (row := getattr(self._ops[path][0], "padding_idx", None)) is not None:
            # Whatever it would change, the gradient of this row is said to be zero.
            moves[row] = 0

        def moved(step: float) -> list[np.ndarray]:
            return self._moved(path, moves * step)

        def sides() -> tuple[float, float]:
            right, left = moved(SHORT_STEP), moved(-SHORT_STEP)
            there, back = self._between(self._outputs, right), self._between(left, self._outputs)
            return there / SHORT_STEP, back / SHORT_STEP

        central = self._between(moved(-STEP), moved(STEP)) / (2 * STEP)
        return Slope(direction, central, EPS * self.size / STEP, sides)

    def _padded(self, name: str) -> np.ndarray:
        """Where numbers of an input say that a step is padding, or which id it has, until they are moved."""
        x = self._inputs[name]
        sources = id_inputs(self._graph)
        ids = (node.inputs[0] for node in self._graph.nodes if isinstance(node.op, ToIds))
        if any(sources.get(value) == name for value in ids):
            return np.ones(x.shape, bool)
        said = [
            node.op.value
            for node in self._graph.nodes
            if isinstance(node.op, FeaturesNotEqual) and name in node.inputs
        ]
        return np.isin(x, np.array(said, x.dtype))

    def _moved(self, path: str, by: np.ndarray) -> list[np.ndarray]:
        if path in self._inputs:
            return reference.rerun(self._graph, self._values, {}, {path: self._inputs[path] + by})
        op, weight = self._ops[path]
        weights = op.weights()
        moved = type(op).build(op.settings(), weights | {weight: np.asarray(weights[weight] + by)})
        return reference.rerun(self._graph, self._values, {id(op): moved}, {})

    def _between(self, before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> float:
        return self._sum([b - a if b.dtype.kind == "f" else b for a, b in zip(before, after, strict=True)])

    def _sum(self, outputs: Sequence[np.ndarray]) -> float:
        return sum(
            float((output * cotangent).sum())
            for output, cotangent in zip(outputs, self.cotangents, strict=True)
            if cotangent is not None
        )

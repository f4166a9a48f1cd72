"""A live Keras model that biport does not read: what it takes, what it gives, and how exact that is."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from biport.compare.cases import PATTERNS, random_inputs
from biport.compare.check_vectors import CheckVectors, of_results
from biport.compare.tolerance import EPS
from biport.errors import InputError
from biport.graph import Value

CASES: Mapping[str, tuple[int, int, Sequence[str]]] = {
    "mixed": (4, 9, ("right", "left", "holes", "full")),
    "one row": (1, 5, ("holes",)),
    "long": (3, 20, PATTERNS[1:4]),
    "all padding": (4, 7, ("all padding", "holes")),
}
"""N, T and the patterns of the rows, in turn."""
LONGER = (1, 4, 16)
"""How many times as long a case is tried that the model does not take."""
FEWEST_IDS = 2
"""V of ids that feed no embedding, as far as that is known."""


Run = Callable[[Sequence[np.ndarray]], list[np.ndarray]]


class UnreadModel:
    """A live model of Keras 3 or ``tf_keras``.

    Args:
        model: a built functional or Sequential model.

    Raises:
        UnsupportedError: TensorFlow cannot trace it, see `export.write_tf2onnx`.
    """

    def __init__(self, model: Any) -> None:
        from export.tf2onnx.live_model import live_model

        self._live = live_model(model)
        self.inputs: list[Value] = list(self._live.inputs)
        self.outputs: list[Value] = list(self._live.outputs)

    @property
    def size(self) -> int:
        """How many layers it has."""
        return len(self._live.model.layers)

    @property
    def floor(self) -> float:
        """``8·eps·sqrt(I + H)`` for the longest sum of a layer: what rounding may always do in float32."""
        return 8 * EPS * math.sqrt(self._live.longest_sum())

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What Keras itself gives at inference, on the CPU."""
        import tensorflow as tf

        with tf.device("/CPU:0"):
            tensors = [
                tf.convert_to_tensor(array.astype(value.dtype) if value.dtype != "str" else array)
                for array, value in zip(arrays, self.inputs, strict=True)
            ]
            return [np.asarray(output) for output in self._live.call(tensors)]

    @functools.cached_property
    def program(self) -> Any:
        """What TensorFlow traces of it, an ``export.tf2onnx.float64.Program``."""
        from export.tf2onnx.float64 import Program

        return Program(self._live)

    def vectors(self, seed: int = 0) -> CheckVectors:
        """Check vectors: what Keras itself gives in float64.

        Args:
            seed: of the inputs.

        Raises:
            InputError: the model takes no random inputs.
        """
        cases = self.cases(self.program.rounded, seed)
        rounded = {case: self.program.rounded(arrays) for case, arrays in cases.items()}
        run, _ = self.program.exact(next(iter(cases.values())))
        exact = {case: run(arrays) for case, arrays in cases.items()}
        inputs, outputs = ([value.name for value in values] for values in (self.inputs, self.outputs))
        return of_results(inputs, outputs, cases, exact, rounded, self.floor)

    def cases(self, run: Run, seed: int = 0) -> dict[str, list[np.ndarray]]:
        """Random inputs under all patterns of mask, of sizes that the model takes.

        Args:
            run: the model; it raises where a size is none.
            seed: of the numbers.

        Raises:
            InputError: it takes none of them.
        """
        cases, problem = {}, None
        for case, (N, T, patterns) in CASES.items():
            for times in LONGER:
                arrays = self._inputs(N, times * T, patterns, seed)
                try:
                    run(arrays)
                except Exception as error:  # A layer may refuse inputs in any way.
                    problem = error
                    continue
                cases[case] = arrays
                break
        if not cases:
            from export.tf2onnx.conversion import first_line

            reason = "" if problem is None else first_line(problem)
            raise InputError(f"{self._live.owner}: random inputs do not run: {reason}")
        return cases

    def _inputs(self, N: int, T: int, patterns: Sequence[str], seed: int) -> list[np.ndarray]:
        bounds = self._live.bounds()
        # Ids are whole numbers, of whatever dtype the model takes them.
        values = [
            dataclasses.replace(value, dtype="int32")
            if value.name in bounds and value.dtype.startswith("float")
            else value
            for value in self.inputs
        ]
        return random_inputs(
            values,
            N,
            T,
            np.random.default_rng(seed),
            patterns=patterns,
            id_bounds=bounds,
            unbounded=FEWEST_IDS,
            padding=self._live.padding(),
        )

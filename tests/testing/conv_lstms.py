"""ConvLSTM layers in many settings, alone in a graph, and inputs for them; no two sizes equal."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from biport import ops
from biport.dims import bound
from biport.graph import Graph, Node, Value
from testing.graphs import conv_lstm
from testing.masks import valid_steps

I, H = 2, 3
"""Channels of the inputs and of the states."""

SIZES = {1: (6,), 2: (5, 4), 3: (4, 3, 5)}
"""Of images, by the number of their axes."""

WINDOWS: tuple[dict[str, Any], ...] = (
    {"padding": "valid"},
    {"padding": "same"},
    {"padding": "same", "strides": 2},
    {"padding": "same", "dilation": 2},
    {"padding": "valid", "strides": 2},
)

GIVEN: tuple[dict[str, Any], ...] = (
    {"return_sequences": True},
    {"reverse": True, "return_state": True, "zero_output_for_mask": True},
    {"return_state": True},
    {"reverse": True, "return_sequences": True, "return_state": True, "zero_output_for_mask": True},
)

KERNELS = {"odd": (3, 1, 3), "even": (2, 3, 2)}

ACTIVATIONS: tuple[dict[str, str], ...] = (
    {},
    {"activation": "softsign", "recurrent_activation": "hard_sigmoid_keras2"},
    {"activation": "softmax", "recurrent_activation": "hard_sigmoid"},
)


@dataclasses.dataclass(frozen=True)
class Case:
    """One layer: of one direction, or two that are merged."""

    name: str
    op: ops.Op
    step: tuple[int, ...]

    def graph(self, *, masked: bool, states: bool) -> Graph:
        """``x``, ``mask`` and the initial states through the layer."""
        op = self.op
        assert isinstance(op, ops.Recurrent | ops.Bidirectional)
        dtype = str(op.dtype)
        shapes = op.state_shapes(self.step) if states else ()
        given = [Value(f"state{number}", ("N", *shape), dtype) for number, shape in enumerate(shapes)]
        mask = [Value("mask", ("N", "T"), "bool")] if masked else []
        names = tuple(f"y:{number}" for number in range(op.output_count))
        masks = ("mask" if masked else None, *(None for _ in given))
        node = Node("layer", op, ("x", *(value.name for value in given)), names, masks)
        return Graph((Value("x", ("N", "T", *self.step), dtype), *mask, *given), (node,), names)


def cases(dtype: str = "float32") -> Iterator[Case]:
    """Every setting with some of the others."""
    for number, (dimensions, windows) in enumerate(itertools.product(SIZES, WINDOWS)):
        rng, step = np.random.default_rng(number), (*SIZES[dimensions], I)
        for at, given in enumerate(GIVEN):
            kind = list(KERNELS)[(number + at) % len(KERNELS)]
            settings = {**windows, **ACTIVATIONS[(number + at) % len(ACTIVATIONS)], "dtype": dtype}
            layer = partial(
                conv_lstm, rng, dimensions, I, H, KERNELS[kind][:dimensions], biased=at != 1, **settings
            )
            said = " ".join(f"{name} {value}" for name, value in windows.items())
            name = f"{dimensions}D {said} {kind} {at}"
            yield Case(name, layer(**given), step)
            if given.get("reverse"):
                own = {**given, "zero_output_for_mask": given.get("return_sequences", False)}
                merge = ("concat", "sum", "ave", "mul", None)[number % 5]
                pair = layer(**own | {"reverse": False}), layer(**own)
                both = ops.Bidirectional(forward=pair[0], backward=pair[1], merge=merge)
                yield Case(f"{name} {merge}", both, step)


def inputs_of(graph: Graph, pattern: str, N: int, T: int, seed: int = 0) -> list[np.ndarray]:
    """Random inputs under a mask of a pattern."""
    rng, sizes = np.random.default_rng(seed), {"N": N, "T": T}
    return [
        valid_steps(pattern, N, T, rng)
        if value.dtype == "bool"
        else rng.normal(size=bound(value.shape, sizes)).astype(value.dtype)
        for value in graph.inputs
    ]

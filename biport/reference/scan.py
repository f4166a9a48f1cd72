"""`ops.Scan`."""

from __future__ import annotations

import numpy as np

from biport.graph import body_of
from biport.inputs import letters
from biport.ops import Scan
from biport.reference.nodes import traced
from biport.reference.recurrent import States, scan
from biport.reference.registry import Arrays, Masks, computes


@computes(Scan)
def scanned(op: Scan, inputs: Arrays, masks: Masks) -> tuple[np.ndarray, ...]:
    """As every recurrent op; one step is the body, which is given the constants as they are."""
    x, initial, constants = op.split(inputs)
    body = body_of(op)

    def step(x: np.ndarray, states: States) -> tuple[np.ndarray, States]:
        given = [x, *states, *constants]
        named = {value.name: array for value, array in zip(body.inputs, given, strict=True)}
        values = traced(body, named, letters(body.inputs, given))
        output, *after = (values[name] for name in body.outputs)
        return output, tuple(after)

    return scan(op, x, initial, masks[0], step)

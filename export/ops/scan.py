"""`ops.Scan` as an ONNX ``Scan``, whose body the writers of the ops write; see `export.recurrent.body`."""

from __future__ import annotations

from functools import cache

import onnx_ir as ir

from biport.errors import UnsupportedError
from biport.ops import Scan
from export.onnx.lazy_value import LazyValue
from export.onnx.site import Site
from export.recurrent.body import last_state, scanned
from export.recurrent.direction import InitialStates, output_value, state_values
from export.registry import writes


@writes(Scan)
def write_scan(op: Scan, site: Site) -> tuple[LazyValue, ...]:
    """``(N, T, I)``, initial states, if given, and constants to the output and the final states."""
    layout = site.layouts.layout(site.inputs[0], site.masks[0], site.name)
    if layout.moved and op.mixes_rows([value.tensor for value in site.inputs]):
        supported = "steps that take every row by itself, no mask, or the contract of right-padded rows"
        raise UnsupportedError(site.owner, "mask", "where a step makes something of several rows", supported)
    x, states, constants = op.split(site.inputs)
    initial = InitialStates(site, layout, states)
    count = op.state_count

    @cache
    def node() -> list[ir.Value | None]:
        given, wanted = [initial(index) for index in range(count)], (op.return_sequences, *[True] * count)
        valid = layout.valid(site.scope)
        return scanned(site, op, layout, x.steps(layout), valid, given, wanted, constants)

    def result(index: int) -> ir.Value:
        value = node()[index]
        assert value is not None
        return value

    def output() -> ir.Value:
        at = last_state(op)
        return result(0 if op.return_sequences else at if at == -1 else 1 + at)

    y = output_value(site, op, layout, output, shape=op.output_shape(), reverse=op.reverse)
    finals = [lambda index=index: result(1 + index) for index in range(count if op.return_state else 0)]
    return y, *state_values(site, layout, finals, initial, first=1, shapes=op.state_shapes())

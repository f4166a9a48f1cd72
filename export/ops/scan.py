"""`ops.Scan` as an ONNX ``Scan``, whose body the writers of the ops write; see `export.recurrent.body`."""

from __future__ import annotations

from biport.errors import UnsupportedError
from biport.ops import Scan
from export.onnx.lazy_value import LazyValue
from export.onnx.site import Site
from export.recurrent.direction import InitialStates, output_value, state_values, write_scan_direction
from export.registry import writes


@writes(Scan)
def write_scan(op: Scan, site: Site) -> tuple[LazyValue, ...]:
    """``(N, T, I)``, initial states, if given, and constants to the output and the final states."""
    layout = site.layouts.layout(site.inputs[0], site.masks[0], site.name)
    if layout.moved and op.mixes_rows([value.tensor for value in site.inputs]):
        supported = "steps that take every row by itself, no mask, or the contract of right-padded rows"
        raise UnsupportedError(site.owner, "mask", "where a step makes something of several rows", supported)
    _, states, constants = op.split(site.inputs)
    initial = InitialStates(site, layout, states)
    direction = write_scan_direction(site, op, layout, initial, constants=constants)
    y = output_value(site, op, layout, direction.output, shape=op.output_shape(), reverse=op.reverse)
    return y, *state_values(site, layout, direction.states, initial, first=1, shapes=op.state_shapes())

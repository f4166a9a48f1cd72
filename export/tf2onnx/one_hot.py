"""One hot as TensorFlow has it, which tf2onnx converts to an operator that counts from the end."""

from __future__ import annotations

from typing import Any

import numpy as np


def keep_out_of_range(model: Any) -> None:
    """Make zeros of negative integers, in every ``OneHot`` of an `onnx_ir.Model`.

    ONNX takes -1 for the last class; beyond the last there are zeros there as well, so that negative ones
    become the number of classes.
    """
    for node in list(model.graph.all_nodes()):
        if node.op_type == "OneHot" and not node.domain:
            _insert(node)


def _insert(one_hot: Any) -> None:
    import onnx_ir as ir

    indices, depth = one_hot.inputs[:2]
    tape = ir.tape.Tape()
    wide = tape.op("Cast", [indices], {"to": ir.DataType.INT64})
    classes = tape.op("Cast", [depth], {"to": ir.DataType.INT64})
    zero = tape.op("Constant", [], {"value": ir.tensor(np.asarray(0, np.int64))})
    outside = tape.op("Less", [wide, zero])
    moved = tape.op("Where", [outside, classes, wide])
    for position, node in enumerate(tape.nodes):
        node.name = f"{one_hot.name}/in_range_{position}"
        node.outputs[0].name = f"{node.name}:0"
    one_hot.graph.insert_before(one_hot, tape.nodes)
    one_hot.replace_input_with(0, moved)

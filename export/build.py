"""Graph to an ONNX model in memory: every op written where it stands, and what the file says of itself."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence

import onnx_ir as ir

from biport.analysis.lengths import Least, needed_lengths, needed_steps
from biport.analysis.rows import row_axes, where_rows_meet
from biport.analysis.undefined import beside_nan, may_be_nan
from biport.errors import InputError, UnsupportedError, raise_unsupported
from biport.graph import Graph, body_of
from biport.inputs import id_bounds, letter_axes, time_axis
from biport.ops import Scan
from biport.registry import discover
from biport.version import __version__
from export import ops as op_families
from export.nodes import NodeWriter
from export.onnx.axis_names import distinct_axes
from export.onnx.builder import Builder, typed
from export.onnx.label_encoder import DOMAIN, VERSION
from export.onnx.lazy_value import LazyValue
from export.onnx.long_enough import check_inputs
from export.onnx.row_groups import GroupedLayout
from export.onnx.sizes import RuntimeSizes
from export.onnx.step_layout import CONTRACTS
from export.onnx.step_layouts import StepLayouts
from export.onnx.target import Target
from export.onnx.versions import NEWEST_IR
from export.publish import PRODUCER, WrittenValues, metadata
from export.recurrent.lowering import LOWERINGS
from export.registry import WRITERS
from export.streaming import stream_metadata

discover(op_families)


def build(
    graph: Graph, lowering: str = "auto", contract: str | None = None, target: Target | None = None
) -> tuple[ir.Model, list[str]]:
    """The ONNX model of ``graph``, not yet written, and notes on it; raises like `export.write`.

    Args:
        graph: the model.
        lowering: as for `export.write`.
        contract: likewise.
        target: what it is written for; `export.onnx.versions.stamp` has it say so.
    """
    target = target or Target()
    _check_choice("lowering", lowering, LOWERINGS)
    _check_choice("contract", contract, (None, *CONTRACTS))
    _check(graph)
    digest, stream = graph.digest(), stream_metadata(graph)
    mixer = where_rows_meet(graph)
    rows = None if mixer is None else row_axes(graph)
    graph = dataclasses.replace(graph, inputs=tuple(distinct_axes(graph.inputs)))
    names = [value.name for value in graph.inputs]
    builder = Builder({*names, *graph.outputs}, target)
    inputs = {value.name: typed(ir.Value(name=value.name), value.tensor) for value in graph.inputs}
    steps, lengths = needed_steps(graph), needed_lengths(graph)
    values, sizes = _values(
        graph, inputs, StepLayouts(builder, contract), builder, lowering, _least(graph, steps, lengths)
    )
    outputs = _outputs(graph, inputs, values, builder)
    check_inputs(builder, graph.inputs, inputs, sizes.ensured)
    model = ir.Model(
        ir.Graph(
            list(inputs.values()),
            outputs,
            nodes=builder.nodes,
            initializers=list(builder.constants.values()),
            opset_imports={"": target.opset} | ({DOMAIN: VERSION} if _has_labels(builder) else {}),
            name="biport",
        ),
        ir_version=NEWEST_IR,
        producer_name=PRODUCER,
        producer_version=__version__,
    )
    model.metadata_props.update(
        metadata(
            "fused",
            graph.inputs,
            id_bounds(graph),
            needs_steps=steps | lengths,
            origin=graph.origin,
            digest=digest,
            values=_written_values(values),
        )
        | stream
        | {"biport.lowering": lowering}
        | ({} if contract is None else {"biport.contract": contract})
        | ({} if mixer is None else {"biport.rows_meet": mixer.name})
        | ({} if rows is None else {"biport.row_axes": json.dumps(rows)})
        | ({} if not (undefined := beside_nan(graph)) else {"biport.undefined": json.dumps(undefined)})
    )
    return model, builder.notes


def _has_labels(builder: Builder) -> bool:
    return any(node.domain == DOMAIN for node in builder.nodes)


def _check_choice(setting: str, value: str | None, choices: Sequence[str | None]) -> None:
    if value not in choices:
        shown = ", ".join(str(choice) for choice in choices)
        raise InputError(f"{setting} should be one of {shown}, found {value!r}")


def _check(graph: Graph) -> None:
    problems = []
    if "float64" in _dtypes(graph):
        cast = 'float32: cast the graph with graph.astype("float32"); onnxruntime has no float64 LSTM'
        problems.append(UnsupportedError("export to ONNX", "dtype", "float64", cast))
    problems += _unwritten(graph, "")
    twice = [name for name, count in Counter(graph.outputs).items() if count > 1]
    problems += [
        UnsupportedError("export to ONNX", "outputs", name, "outputs of different names") for name in twice
    ]
    raise_unsupported("export to ONNX", problems)


def _dtypes(graph: Graph) -> set[str]:
    """Of its values, those inside of a `Scan` too."""
    inside = (_dtypes(body_of(node.op)) for node in graph.nodes if isinstance(node.op, Scan))
    return {tensor.dtype for tensor in graph.tensors.values()}.union(*inside)


def _unwritten(graph: Graph, prefix: str) -> list[UnsupportedError]:
    """The ops that no function writes, those inside of a `Scan` too."""
    problems = []
    for node in graph.nodes:
        if isinstance(node.op, Scan):
            problems += _unwritten(body_of(node.op), f"{prefix}{node.name}/")
        if type(node.op) not in WRITERS:
            owner = f"node {prefix + node.name!r}"
            problems.append(UnsupportedError(owner, WRITERS.purpose, node.op.kind, WRITERS.supported()))
    return problems


def _values(
    graph: Graph,
    inputs: dict[str, ir.Value],
    layouts: StepLayouts,
    builder: Builder,
    lowering: str,
    least: Mapping[str, int],
) -> tuple[dict[str, LazyValue], RuntimeSizes]:
    values = {
        value.name: LazyValue(
            value.tensor, builder.scope(value.name), lambda written=inputs[value.name]: written
        )
        for value in graph.inputs
    }
    sizes = RuntimeSizes(builder, graph.inputs, values.copy(), least)
    write = NodeWriter(builder, graph.tensors, layouts, sizes, lowering, may_be_nan(graph))
    for node in graph.nodes:
        values |= write(node, values)
    return values, sizes


def _least(graph: Graph, steps: Mapping[str, Least], lengths: Mapping[str, Least]) -> dict[str, int]:
    """By letters of the inputs' sizes, how large the model needs them to be.

    Args:
        steps: its `needed_steps`.
        lengths: its `needed_lengths`.
    """
    least = {name: needed.size for name, needed in lengths.items() if name in letter_axes(graph.inputs)}
    for value in graph.inputs:
        axis = time_axis(value.shape)
        if axis is not None and value.name in steps:
            least[str(value.shape[axis])] = steps[value.name].size
    return least


def _outputs(
    graph: Graph, inputs: dict[str, ir.Value], values: dict[str, LazyValue], builder: Builder
) -> list[ir.Value]:
    outputs: list[ir.Value] = []
    taken = set(inputs.values())
    for name in graph.outputs:
        value = values[name].value()
        # An input that is an output under its own name stays itself; under another one it needs a node.
        if value in taken and inputs.get(name) is not value:
            value = builder.scope(name)("Identity", value)
        taken.add(value)
        value.name = name
        outputs.append(typed(value, graph.tensors[name]))
    return outputs


def _written_values(values: dict[str, LazyValue]) -> WrittenValues:
    """Under which name the file has each value of the graph, and in which form; see `export.trace`."""
    names = {id(value): name for name, value in values.items()}
    described: dict[str, dict[str, str | Sequence[int] | None]] = {}
    for name, value in values.items():
        written = value.written()
        if written is None or not written[0].name:
            continue
        form, order, layout = written
        described[name] = {"value": form.name}
        if order != value.batch_major:
            described[name]["order"] = list(order)
        if layout is not None:
            mask = layout.mask
            described[name] = {"steps": form.name, "mask": None if mask is None else names[id(mask)]}
            if isinstance(layout, GroupedLayout):
                described[name]["source"] = layout.source.name
    return described

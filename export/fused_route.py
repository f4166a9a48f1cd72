"""Graph to ONNX: the route "fused", one node for each recurrent layer wherever ONNX has one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import onnx_ir as ir

from biport import __version__
from biport.analysis.lengths import needed_lengths, needed_steps
from biport.data.vocabulary import Vocabulary
from biport.errors import InputError, UnsupportedError, raise_unsupported
from biport.graph import Graph, Node
from biport.inputs import id_bounds
from biport.registry import discover
from export import ops as op_files
from export.axes import distinct_axes
from export.builder import IR_VERSION, OPSET, Builder, typed
from export.files import PRODUCER, Check, Written, data_path, metadata, publish
from export.flow import Flow, Site
from export.layout import CONTRACTS, Layouts
from export.lowering import LOWERINGS
from export.registry import WRITERS
from export.text_side import text_metadata
from export.tokenizer import add_tokenizer

discover(op_files)

PROTOBUF_LIMIT = 2**31 - 2**24
"""Bytes of weights that go into one file: protobuf's 2 GiB, less room for everything else."""


def write(
    graph: Graph,
    path: str | PathLike[str],
    *,
    overwrite: bool = False,
    external_data_above: int = PROTOBUF_LIMIT,
    lowering: str = "auto",
    contract: str | None = None,
    check: Check | None = None,
    vocabulary: Vocabulary | None = None,
    labels: Sequence[str] | None = None,
    embed_tokenizer: bool = False,
) -> Written:
    """Write ``graph`` as an ONNX file that onnxruntime runs fast and that is exact under every mask.

    Inputs and outputs keep their names and order; axes of varying size carry the graph's letters, a second
    input's T being called T_2. Empty batches and, where the model is defined over them, empty sequences
    give what `biport.reference` gives.

    Args:
        graph: the model, in float32.
        path: the file to write.
        overwrite: replace a file that is there already.
        external_data_above: bytes of weights beyond which they go into ``<path>.data``.
        lowering: ``"fused"`` for one ONNX node a recurrent layer wherever there is one, ``"loop"`` for a
            `Scan` everywhere, ``"auto"`` for what is faster on the CPU, see `export.lowering`: where the
            batch decides, both are in the file. On a GPU ``"fused"`` is the faster.
        contract: ``"right-padded"`` where all padding will come behind the last step of its row: no step is
            moved then, and running the file on any other input is an error, with `Session` or without it.
        check: called with the file before it is put in its place; what it raises, `write` does.
        vocabulary: what the ids stand for; the file carries it, and `Session.predict` then takes texts.
        labels: what the classes of the first output are called; the file carries them.
        embed_tokenizer: put `biport.data.whitespace_ids` into the graph, which then takes strings ``(N,)``
            in place of ids; needs ``vocabulary``.

    Raises:
        UnsupportedError: the graph is in float64 or holds an op without a writer, all such nodes at once; or
            the labels, the vocabulary or the tokeniser do not go with it.
        InputError: ``lowering`` or ``contract`` is none; or there are more ids in the vocabulary than the
            model has, or more or fewer labels than classes.
        FileError: the file exists, or its folder is missing or cannot be written to.
        MissingDependencyError: onnx or onnx-ir is not installed.
    """
    path = Path(path)
    model, notes = build(graph, lowering, contract)
    model.metadata_props.update(text_metadata(graph, vocabulary, labels))
    if embed_tokenizer:
        add_tokenizer(model, graph, vocabulary)
    size = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)
    data = data_path(path) if size > external_data_above else None

    def save(made: Path) -> None:
        ir.save(model, made, external_data=None if data is None else data.name)

    publish(path, save, overwrite=overwrite, check=check)
    return Written(
        path=path,
        route="fused",
        opset=model.opset_imports[""],
        nodes=dict(Counter(node.op_type for node in model.graph.all_nodes()).most_common()),
        bytes=path.stat().st_size + (data.stat().st_size if data else 0),
        data=data,
        notes=notes,
    )


def build(graph: Graph, lowering: str = "auto", contract: str | None = None) -> tuple[ir.Model, list[str]]:
    """The ONNX model of ``graph``, not yet written, and notes on it; raises like `write`."""
    _check_choice("lowering", lowering, LOWERINGS)
    _check_choice("contract", contract, (None, *CONTRACTS))
    _check(graph)
    digest = graph.digest()
    graph = Graph(tuple(distinct_axes(graph.inputs)), graph.nodes, graph.outputs, graph.origin)
    names = [value.name for value in graph.inputs]
    builder = Builder({*names, *graph.outputs})
    inputs = {value.name: typed(ir.Value(name=value.name), value.tensor) for value in graph.inputs}
    flows = _flows(graph, inputs, builder, Layouts(builder, contract), lowering)
    outputs = _outputs(graph, inputs, flows, builder)
    model = ir.Model(
        ir.Graph(
            list(inputs.values()),
            outputs,
            nodes=builder.nodes,
            initializers=list(builder.constants.values()),
            opset_imports={"": OPSET},
            name="biport",
        ),
        ir_version=IR_VERSION,
        producer_name=PRODUCER,
        producer_version=__version__,
    )
    model.metadata_props.update(
        metadata(
            "fused",
            graph.inputs,
            id_bounds(graph),
            needs_steps=needed_steps(graph) | needed_lengths(graph),
            origin=graph.origin,
            digest=digest,
            values=_places(flows),
        )
        | {"biport.lowering": lowering}
        | ({} if contract is None else {"biport.contract": contract})
    )
    return model, builder.notes


def _check_choice(setting: str, value: str | None, choices: Sequence[str | None]) -> None:
    if value not in choices:
        shown = ", ".join(str(choice) for choice in choices)
        raise InputError(f"{setting} should be one of {shown}, found {value!r}")


def _check(graph: Graph) -> None:
    problems = []
    if any(tensor.dtype == "float64" for tensor in graph.tensors.values()):
        cast = 'float32: cast the graph with graph.astype("float32"); onnxruntime has no float64 LSTM'
        problems.append(UnsupportedError("export to ONNX", "dtype", "float64", cast))
    problems += [
        UnsupportedError(f"node {node.name!r}", WRITERS.purpose, node.op.kind, WRITERS.supported())
        for node in graph.nodes
        if type(node.op) not in WRITERS
    ]
    twice = [name for name, count in Counter(graph.outputs).items() if count > 1]
    problems += [
        UnsupportedError("export to ONNX", "outputs", name, "outputs of different names") for name in twice
    ]
    raise_unsupported("export to ONNX", problems)


def _flows(
    graph: Graph, inputs: dict[str, ir.Value], builder: Builder, layouts: Layouts, lowering: str
) -> dict[str, Flow]:
    flows = {value.name: Flow(value.tensor, lambda made=inputs[value.name]: made) for value in graph.inputs}
    for node in graph.nodes:
        flows |= zip(node.outputs, _write_node(graph, node, flows, layouts, builder, lowering), strict=True)
    return flows


def _write_node(
    graph: Graph, node: Node, flows: dict[str, Flow], layouts: Layouts, builder: Builder, lowering: str
) -> tuple[Flow, ...]:
    site = Site(
        name=node.name,
        scope=builder.scope(node.name),
        inputs=[flows[name] for name in node.inputs],
        masks=[None if mask is None else flows[mask] for mask in node.masks],
        made=[graph.tensors[name] for name in node.outputs],
        layouts=layouts,
        lowering=lowering,
    )
    return WRITERS.lookup(type(node.op), site.owner)(node.op, site)


def _outputs(
    graph: Graph, inputs: dict[str, ir.Value], flows: dict[str, Flow], builder: Builder
) -> list[ir.Value]:
    outputs: list[ir.Value] = []
    taken = set(inputs.values())
    for name in graph.outputs:
        value = flows[name].value()
        # An input that is an output under its own name stays itself; under another one it needs a node.
        if value in taken and inputs.get(name) is not value:
            value = builder.scope(name)("Identity", value)
        taken.add(value)
        value.name = name
        outputs.append(typed(value, graph.tensors[name]))
    return outputs


def _places(flows: dict[str, Flow]) -> dict[str, dict[str, str | None]]:
    """Under which name the file holds each value of the graph, and in which form; see `export.trace`."""
    names = {id(flow): name for name, flow in flows.items()}
    found: dict[str, dict[str, str | None]] = {}
    for name, flow in flows.items():
        written = flow.written()
        if written is None or not written[0].name:
            continue
        value, layout = written
        found[name] = {"value": value.name}
        if layout is not None:
            mask = layout.mask
            found[name] = {"steps": value.name, "mask": None if mask is None else names[id(mask)]}
    return found

"""ONNX files with smaller numbers: int8 weights for the CPU, half precision for a GPU."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import onnx

from biport.errors import Argument, FileError, InputError, UnsupportedError
from export.check_vectors import DIGEST_KEY, KEY, Carried, carried, check_path, read_vectors
from export.deploy.float16 import float16
from export.publish import Check, Written, publish
from export.runtime.quantization import QUANTIZED, int8, require_tools
from export.session import Session

PRECISIONS = ("int8", "float16")


def write_precision(
    source: str | PathLike[str],
    path: str | PathLike[str],
    precision: str,
    *,
    overwrite: bool = False,
    check: Check | None = None,
) -> Written:
    """Write a float32 file of this package again with smaller numbers.

    ``"int8"``: weights in 8 bits, one scale a tensor, activations quantized while it runs, by the range they
    have in the batch at hand, so that a row's result hangs a little on the rows beside it. ``"float16"``: all
    in half precision but the inputs and outputs; on a CPU onnxruntime casts it back, which gains nothing.

    The source's check vectors go along; what they allow is four times the error that the file shows here.

    Args:
        source: the float32 file, below 2 GiB.
        path: the file to write.
        precision: one of `PRECISIONS`.
        overwrite: replace a file that is there.
        check: called with the file before it is put in its place; what it raises, this does.

    Raises:
        InputError: there is no such precision.
        UnsupportedError: the file has nothing that would get smaller.
        FileError: the source is missing or too large, or the file exists.
        MissingDependencyError: onnxruntime is not installed.
    """
    if precision not in PRECISIONS:
        raise InputError(Argument("precision", precision), f": should be one of {', '.join(PRECISIONS)}")
    source, path = Path(source), Path(path)
    if not source.is_file():
        raise FileError(f"{source}: there is no such file")
    if source.with_name(source.name + ".data").exists():
        raise FileError(f"{source}: has its weights in {source.name}.data; such files are not made smaller")
    require_tools(precision)
    model = onnx.load(source)
    _keep_fused(model.graph)
    kinds = {node.op_type for node in model.graph.node}
    if precision == "int8" and not kinds & set(QUANTIZED):
        raise UnsupportedError(f"{source.name}: int8", "nodes", sorted(kinds), QUANTIZED)
    smaller = int8(model) if precision == "int8" else float16(model)
    _describe(smaller, model, precision)
    vectors = read_vectors(source, _properties(model))
    written = Carried({})

    def save(target: Path) -> None:
        nonlocal written
        onnx.save(smaller, target)
        if vectors is not None:
            session = Session(target, device="cpu", threads=1)
            written = carried(vectors.measured(session.run, precision))
            onnx.helper.set_model_props(smaller, {**_properties(smaller), **written.properties})
            onnx.save(smaller, target)
            written.write_beside(target)

    publish(path, save, overwrite=overwrite, check=check)
    return Written(
        path=path,
        route=next((p.value for p in model.metadata_props if p.key == "biport.route"), "foreign"),
        opset=max(opset.version for opset in smaller.opset_import if not opset.domain),
        nodes=dict(Counter(node.op_type for node in smaller.graph.node).most_common()),
        ir_version=smaller.ir_version,
        bytes=path.stat().st_size,
        check=check_path(path) if written.beside else None,
    )


def _keep_fused(graph: Any) -> None:
    """Put fused nodes in place of an ``If`` that holds a loop beside them, see `export.recurrent.lowering`.

    The quantizer fails over branches, and the loop would keep weights of its own in float32.
    """
    nodes = []
    for node in graph.node:
        branch = next((part.g for part in node.attribute if part.name == "else_branch"), None)
        if branch is None or not {"GRU", "RNN"} & {inner.op_type for inner in branch.node}:
            nodes.append(node)
            continue
        names = dict(zip((value.name for value in branch.output), node.output, strict=True))
        for inner in branch.node:
            inner.input[:] = [names.get(name, name) for name in inner.input]
            inner.output[:] = [names.get(name, name) for name in inner.output]
            nodes.append(inner)
    kept = [copy.deepcopy(node) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    read = {name for node in _all_nodes(graph) for name in node.input} | {
        value.name for value in graph.output
    }
    weights = [copy.deepcopy(weight) for weight in graph.initializer if weight.name in read]
    del graph.initializer[:]
    graph.initializer.extend(weights)


def _all_nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for part in node.attribute:
            if part.type == onnx.AttributeProto.GRAPH:
                yield from _all_nodes(part.g)


def _describe(smaller: Any, model: Any, precision: str) -> None:
    """The metadata of the float32 file, and that this is none."""
    properties = _properties(model) | {"biport.precision": precision}
    # The digest is that of other weights.
    properties.pop("biport.digest", None)
    for key in ("biport.values", KEY, DIGEST_KEY):
        properties.pop(key, None)
    del smaller.metadata_props[:]
    onnx.helper.set_model_props(smaller, properties)


def _properties(model: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}

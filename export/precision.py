"""ONNX files with smaller numbers: int8 weights for the CPU, half precision for a GPU."""

from __future__ import annotations

import contextlib
import copy
import logging
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import onnx

from biport.errors import FileError, InputError, UnsupportedError
from export.files import Check, Written, publish
from export.require import require

PRECISIONS = ("int8", "float16")
QUANTIZED = ("LSTM", "MatMul", "Gemm", "Gather", "Attention", "Conv")
"""What onnxruntime 1.31 quantizes while it runs; GRU and RNN keep their weights in float32."""


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
        raise InputError(f"precision={precision!r}: should be one of {', '.join(PRECISIONS)}")
    source, path = Path(source), Path(path)
    if not source.is_file():
        raise FileError(f"{source}: there is no such file")
    if source.with_name(source.name + ".data").exists():
        raise FileError(f"{source}: has weights beyond 2 GiB, which are not made smaller")
    require("onnxruntime", f"writing {precision}", "cpu")
    model = onnx.load(source)
    _keep_fused(model.graph)
    kinds = {node.op_type for node in model.graph.node}
    if precision == "int8" and not kinds & set(QUANTIZED):
        raise UnsupportedError(f"{source.name}: int8", "nodes", sorted(kinds), QUANTIZED)
    with _quiet():
        made = _int8(model) if precision == "int8" else _float16(model)
    _described(made, model, precision)
    publish(path, lambda target: onnx.save(made, target), overwrite=overwrite, check=check)
    return Written(
        path=path,
        route=next((p.value for p in model.metadata_props if p.key == "biport.route"), "foreign"),
        opset=max(opset.version for opset in made.opset_import if not opset.domain),
        nodes=dict(Counter(node.op_type for node in made.graph.node).most_common()),
        bytes=path.stat().st_size,
    )


def _keep_fused(graph: Any) -> None:
    """Put fused nodes in the place of an ``If`` that holds a loop beside them, see `export.lowering`.

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


def _int8(model: Any) -> Any:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    # A Gemm becomes a MatMul of the transposed weight, which then is not what was said of it here.
    del plain.graph.value_info[:]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.onnx"
        quantize_dynamic(plain, target, op_types_to_quantize=list(QUANTIZED), weight_type=QuantType.QInt8)
        return onnx.load(target)


def _float16(model: Any) -> Any:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    return convert_float_to_float16(model, keep_io_types=True)


def _described(made: Any, model: Any, precision: str) -> None:
    """The metadata of the float32 file, and that this is none."""
    found = {entry.key: entry.value for entry in model.metadata_props} | {"biport.precision": precision}
    # The digest is that of other weights.
    found.pop("biport.digest", None)
    found.pop("biport.values", None)
    del made.metadata_props[:]
    onnx.helper.set_model_props(made, found)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Neither the quantizer's advice nor the converter's warnings of small weights that become 0."""
    root = logging.getLogger()
    level, disabled = root.level, root.disabled
    root.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.disabled = disabled
        root.setLevel(level)

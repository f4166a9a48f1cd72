"""ONNX files with smaller numbers: int8 weights for the CPU, half precision for a GPU."""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from biport.errors import Argument, FileError, InputError, UnsupportedError
from export.check_vectors import DIGEST_KEY, KEY, Carried, carried, check_path, read_vectors
from export.deploy.float16 import float16
from export.deploy.int8 import LEAST_STORED, METHODS, WEIGHED, Int8, computed, convolved, int8
from export.deploy.ranges import seen_ranges
from export.deploy.scales import with_scales_inside
from export.onnx.row_groups import ROW_GROUPS
from export.publish import Check, Written, publish
from export.session import Session

PRECISIONS = ("int8", "float16")


def write_precision(
    source: str | PathLike[str],
    path: str | PathLike[str],
    precision: str,
    *,
    method: str = "dynamic",
    calibration: Sequence[Sequence[Any]] = (),
    overwrite: bool = False,
    check: Check | None = None,
) -> Written:
    """Write a float32 file of this package again with smaller numbers.

    ``"int8"``: weights in 8 bits, a scale for each output channel. ``"float16"``: all in half precision but
    the inputs and outputs; on a CPU onnxruntime casts it back, which gains nothing.

    The source's check vectors go along; what they allow is four times the error that the file shows here.

    Args:
        source: the float32 file, below 2 GiB.
        path: the file to write.
        precision: one of `PRECISIONS`.
        method: of int8, one of `export.deploy.int8.METHODS`. ``"weights"``: they are stored in 8 bits, and
            the file computes in float32. ``"dynamic"``: LSTM, loops of GRU and SimpleRNN, and products with
            matrices compute in 8 bits, by the range that their inputs have in the batch at hand, so that a
            row's result hangs a little on the rows beside it; other weights are stored. ``"static"``:
            convolutions as well, by ranges that ``calibration`` showed.
        calibration: for ``"static"`` batches of inputs like those that will come.
        overwrite: replace a file that is there.
        check: called with the file before it is put in its place; what it raises, this does.

    Raises:
        InputError: there is no such precision or method, or ``"static"`` has no batches.
        UnsupportedError: the file has nothing that would get smaller, or no convolution for ``"static"``.
        FileError: the source is missing or too large, or the file exists.
        MissingDependencyError: onnxruntime is not installed, and there are check vectors or a calibration.
    """
    if precision not in PRECISIONS:
        raise InputError(Argument("precision", precision), f": should be one of {', '.join(PRECISIONS)}")
    if method not in METHODS:
        raise InputError(Argument("method", method), f": should be one of {', '.join(METHODS)}")
    source, path = Path(source), Path(path)
    if not source.is_file():
        raise FileError(f"{source}: there is no such file")
    if source.with_name(source.name + ".data").exists():
        raise FileError(f"{source}: has its weights in {source.name}.data; such files are not made smaller")
    model = onnx.load(source)
    smaller = _int8(source, model, method, calibration) if precision == "int8" else _float16(model)
    _describe(smaller, model, precision, method)
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
        nodes=dict(Counter(node.op_type for node in ir.from_proto(smaller).graph.all_nodes()).most_common()),
        ir_version=smaller.ir_version,
        bytes=path.stat().st_size,
        check=check_path(path) if written.beside else None,
    )


def weights_by_part(path: str | PathLike[str]) -> dict[str, int]:
    """Bytes of a file's weights by the node of the model that they belong to, the largest first.

    Args:
        path: the ONNX file.
    """
    sizes: Counter[str] = Counter()
    for weight in onnx.load(path).graph.initializer:
        if len(weight.dims) > 1:
            sizes[weight.name.partition("/")[0]] += ir.from_proto(weight).nbytes
    return dict(sizes.most_common())


def move_written(written: Written, path: Path, *, overwrite: bool = False) -> Written:
    """Put a file that was written elsewhere in its place, and the check vectors beside it.

    Raises:
        FileError: the file exists, or its folder is missing or cannot be written to.
    """

    def copied(target: Path) -> None:
        shutil.copyfile(written.path, target)
        if written.check is not None:
            shutil.copyfile(written.check, check_path(target))

    publish(path, copied, overwrite=overwrite)
    return dataclasses.replace(written, path=path, check=None if written.check is None else check_path(path))


def methods_for(source: str | PathLike[str], calibrated: bool) -> list[str]:
    """The methods of int8 that make a difference to a file, those that round least first.

    Args:
        source: the float32 file.
        calibrated: whether there are batches to calibrate with.
    """
    model = onnx.load(source)
    able = {"weights": True, "dynamic": computed(model), "static": calibrated and bool(convolved(model))}
    return [method for method in METHODS if able[method]]


def _int8(source: Path, model: Any, method: str, calibration: Sequence[Sequence[Any]]) -> Any:
    ranges = {}
    model = with_scales_inside(model)
    if method == "static":
        names = convolved(model)
        if not names:
            kinds = sorted({node.op_type for node in model.graph.node})
            raise UnsupportedError(f"{source.name}: static int8", "nodes", kinds, ("Conv",))
        if not calibration:
            raise InputError(Argument("method", method), ": needs rows of yours to see the ranges in")
        ranges = seen_ranges(model, names, calibration)
    smaller = int8(model, Int8(method, ranges))
    if not _stored_in_8_bits(smaller):
        kinds = sorted({node.op_type for node in model.graph.node})
        wanted = f"weights of {LEAST_STORED} numbers or more of {', '.join(WEIGHED)}"
        raise UnsupportedError(f"{source.name}: int8", "nodes", kinds, wanted)
    return smaller


def _stored_in_8_bits(model: Any) -> bool:
    kinds = onnx.TensorProto.INT8, onnx.TensorProto.UINT8
    return any(weight.data_type in kinds for weight in model.graph.initializer)


def _float16(model: onnx.ModelProto) -> onnx.ModelProto:
    kept = ir.from_proto(model)
    _keep_fused(kept.graph)
    nodes = [*kept.graph.all_nodes()]
    RemoveUnusedNodesPass()(kept)
    for node in set(nodes).difference(kept.graph.all_nodes()):
        # What only the body of a loop without use reads has none itself once that is gone.
        node.resize_inputs(0)
    RemoveUnusedNodesPass()(kept)
    return float16(ir.to_proto(kept))


def _keep_fused(graph: ir.Graph) -> None:
    """Put fused nodes over all rows in place of every ``If`` that holds a loop beside them.

    The loops are for CPUs, half precision for GPUs, where fused nodes are always the faster; see
    `export.recurrent.lowering`.
    """
    for node in [*graph]:
        branch = node.attributes["else_branch"].as_graph() if "else_branch" in node.attributes else None
        kinds = set() if branch is None else {inner.op_type for inner in branch.all_nodes()}
        if branch is None or not ({"LSTM", "GRU", "RNN"} & kinds or f"/{ROW_GROUPS}/" in (node.name or "")):
            continue
        for looped in node.attributes["then_branch"].as_graph().all_nodes():
            # It reads nothing any more, such as what a loop outside of the branch gives.
            looped.resize_inputs(0)
        _keep_fused(branch)
        inner, given = [*branch], [*branch.outputs]
        branch.outputs.clear()
        branch.remove(inner)
        ir.convenience.replace_nodes_and_values(graph, node, [node], inner, node.outputs, given)


def _describe(smaller: Any, model: Any, precision: str, method: str) -> None:
    """The metadata of the float32 file, and that this is none."""
    properties = _properties(model) | {"biport.precision": precision}
    if precision == "int8":
        properties["biport.int8"] = method
    # The digest is that of other weights.
    properties.pop("biport.digest", None)
    for key in ("biport.values", KEY, DIGEST_KEY):
        properties.pop(key, None)
    del smaller.metadata_props[:]
    onnx.helper.set_model_props(smaller, properties)


def _properties(model: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}

"""Live Keras model to ONNX through tf2onnx: the route for models biport does not read, and the baseline.

The model is traced here, not by `tf2onnx.convert.from_keras`: that one refuses models never called, names
axes ``unk__71``, makes inputs of constants, and on a machine with a GPU meets cuDNN operators it cannot
convert.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biport.errors import GraphError, InputError, UnsupportedError
from biport.graph import Value
from biport.log import logged
from biport.ops import Dim, Tensor
from export.check_vectors import carried, check_path
from export.onnx.target import OPSET, Target, target_of
from export.require import require
from export.tf2onnx.conversion import Complaint, converted, refusal
from export.tf2onnx.live_model import LiveModel, live_model
from export.tf2onnx.placeholders import OpOf, Placeholder, replaced
from export.tf2onnx.scopes import Scopes

if TYPE_CHECKING:
    from biport.compare.check_vectors import CheckVectors
    from export.publish import Check, Written


@logged("export.write_tf2onnx")
def write_tf2onnx(
    model: Any,
    path: str | PathLike[str],
    *,
    overwrite: bool = False,
    bounds: Mapping[str, int] | None = None,
    op_of: OpOf | None = None,
    check: Check | None = None,
    vectors: CheckVectors | None = None,
    opset: int | None = None,
    ir_version: int | None = None,
    runtime: str | None = None,
) -> Written:
    """Write a live Keras model as an ONNX file by way of TensorFlow.

    With ``op_of`` recurrent layers are written as the fused route writes them and only what is around them by
    tf2onnx, see `export.tf2onnx.placeholders`.

    Inputs and outputs keep the Keras names and order; their axes are called N and T, a second input's T_2.
    Unlike the fused route's files these do not run on empty batches by themselves: `export.Session` steps in.

    Args:
        model: a built functional or Sequential model, of Keras 3 or of ``tf_keras``, called before or not; it
            is left as it was.
        path: the file to write.
        overwrite: replace a file that is there already.
        bounds: for each input of ids the size of its vocabulary, V; by default that of the
            embeddings which read the input directly.
        op_of: the op of a live recurrent layer, ``None`` for one that tf2onnx is to convert, such as
            `keras_side.recurrent_op`; by default tf2onnx converts all of them.
        check: called with the file before it is put in its place; what it raises, this does.
        vectors: check vectors that the file is to carry, see `biport.compare.check_vectors`.
        opset: of the operators, 15 to 18, which is the newest of tf2onnx and the default.
        ir_version: as for `export.write`.
        runtime: likewise.

    Raises:
        UnsupportedError: the model has no declared inputs, a layer that carries its state from call to call
            or that tf2onnx cannot express, or weights beyond 2 GiB; or Keras runs on another backend than
            TensorFlow.
        InputError: ``bounds`` names no input of the model.
        FileError: the file exists, or its folder is missing or cannot be written to.
        MissingDependencyError: tensorflow, keras, tf2onnx or onnx-ir is not installed.
    """
    for package in ("tensorflow", "keras"):
        require(package, "the tf2onnx route", "keras")
    for package in ("tf2onnx", "onnx", "onnx_ir"):
        require(package, "the tf2onnx route", "export")
    from export.onnx.versions import stamp
    from export.publish import Written, publish, refuse_to_overwrite

    path = Path(path)
    refuse_to_overwrite(path, overwrite)
    live = live_model(model)
    _check_bounds(bounds, live.inputs)
    target = target_of(opset, ir_version, runtime)
    if target.opset > OPSET:
        raise UnsupportedError("the tf2onnx route", "opset", opset, f"up to {OPSET}")
    parts = converted(live, op_of, opset=target.opset)
    onnx_model, notes = _assembled(live, bounds or {}, *parts, target)
    stamp(onnx_model, target)
    if vectors is not None:
        # A graph that was read of the model may have other names for what it gives.
        inputs, outputs = ([value.name for value in values] for values in (live.inputs, live.outputs))
        vectors = dataclasses.replace(vectors, inputs=inputs, outputs=outputs)
    travelling = carried(vectors)
    onnx_model.metadata_props.update(travelling.properties)

    def save(target: Path) -> None:
        _save(onnx_model, target)
        travelling.write_beside(target)

    try:
        publish(path, save, overwrite=overwrite, check=check)
    except GraphError as error:
        raise _invalid(live, op_of, str(error.__cause__)) from error
    return Written(
        path=path,
        route="tf2onnx",
        opset=onnx_model.opset_imports[""],
        ir_version=onnx_model.ir_version,
        nodes=dict(Counter(node.op_type for node in onnx_model.graph.all_nodes()).most_common()),
        bytes=path.stat().st_size,
        check=check_path(path) if travelling.beside else None,
        notes=notes,
    )


def _assembled(
    live: LiveModel,
    bounds: Mapping[str, int],
    proto: Any,
    placeholders: Sequence[Placeholder],
    target: Target | None = None,
) -> tuple[Any, list[str]]:
    """The model of what tf2onnx made, with its names and the layers kept whole, and notes on these."""
    origin = {"framework": live.keras.__name__, "version": live.keras.__version__}
    model = _named(proto, live.inputs, live.outputs, live.bounds() | dict(bounds), origin)
    return model, replaced(model, placeholders, target)


def _invalid(live: LiveModel, op_of: OpOf | None, problem: str) -> UnsupportedError:
    """The refusal of a model of which tf2onnx makes what is no valid ONNX."""
    import onnx
    import onnx_ir as ir

    scopes = Scopes(live.model)
    model, _ = _assembled(live, {}, *converted(live, op_of, scopes))
    try:
        onnx.checker.check_model(ir.to_proto(model), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        problem = str(error)
    complaint = Complaint("the ONNX that tf2onnx makes of it", problem.splitlines()[0], problem)
    return refusal(live, [complaint], scopes)


def _save(model: Any, path: Path) -> None:
    import onnx_ir as ir

    ir.save(model, path)


def _check_bounds(bounds: Mapping[str, int] | None, inputs: Sequence[Value]) -> None:
    names = [value.name for value in inputs]
    for name in bounds or {}:
        if name not in names:
            raise InputError(f"bounds: there is no input {name!r}; the inputs are {', '.join(names)}")


def _named(
    proto: Any,
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    bounds: Mapping[str, int],
    origin: Mapping[str, str],
) -> Any:
    """The model with the Keras names and order, axes by letter, and biport's metadata."""
    import onnx_ir as ir

    from biport.version import __version__
    from export.publish import PRODUCER, metadata

    model = ir.from_proto(proto)
    _free_names(model.graph, [*inputs, *outputs])
    _rename(model.graph.inputs, "in", inputs)
    _rename(model.graph.outputs, "out", outputs)
    model.producer_name, model.producer_version = PRODUCER, __version__
    model.metadata_props.update(metadata("tf2onnx", inputs, bounds, needs_steps={}, origin=origin))
    return model


def _free_names(graph: Any, wanted: Sequence[Value]) -> None:
    """Rename inner values that have a name an input or an output is about to get."""
    taken = {value.name for value in wanted}
    for node in graph.all_nodes():
        for value in (*node.outputs, *(body_input for body in _bodies(node) for body_input in body.inputs)):
            if value.name in taken:
                value.name = f"inner/{value.name}"
    for value in list(graph.initializers.values()):
        if value.name in taken:
            value.name = f"inner/{value.name}"


def _bodies(node: Any) -> list[Any]:
    import onnx_ir as ir

    return [item.as_graph() for item in node.attributes.values() if item.type == ir.AttributeType.GRAPH]


def _rename(values: Any, prefix: str, wanted: Sequence[Value]) -> None:
    """Put the values of a graph into the order of ``wanted`` and name and describe them so."""
    from export.onnx.builder import typed

    by_name = {str(value.name).partition(":")[0]: value for value in values}
    ordered = [by_name[f"{prefix}_{index}"] for index in range(len(wanted))]
    values[:] = ordered
    for value, described in zip(ordered, wanted, strict=True):
        value.name = described.name
        typed(value, Tensor(_traced_sizes(value, described), described.dtype))


def _traced_sizes(value: Any, described: Value) -> tuple[Dim, ...]:
    """The sizes TensorFlow found, else those Keras tells; of unequal directions it tells the wrong one."""
    if value.shape is None or len(value.shape) != len(described.shape):
        return described.shape
    return tuple(
        size if isinstance(size, int) and axis else told
        for axis, (size, told) in enumerate(zip(value.shape, described.shape, strict=True))
    )

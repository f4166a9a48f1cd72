"""The versions that a finished model says: the opset its operators are of, and the oldest IR that has all."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import onnx_ir as ir

from biport.errors import InputError, UnsupportedError, raise_unsupported
from export.onnx.target import NEWEST, OWNER, Target

IR_OF_DTYPES: dict[ir.DataType, int] = {
    **dict.fromkeys((dtype for dtype in ir.DataType if dtype.name.startswith("FLOAT8E")), 9),
    **{ir.DataType[name]: version for name, version in (("INT4", 10), ("UINT4", 10), ("FLOAT4E2M1", 11))},
}
"""The first IR version with a type, of those that not all have; ``onnx.in.proto`` says it of each version."""
NEWEST_IR = int(onnx.IR_VERSION)


def stamp(model: ir.Model, target: Target) -> None:
    """Have ``model`` say the versions it needs, or those that were asked for: its opset, and the IR version.

    Args:
        model: finished; what was put in since `export.build` may need a newer opset than the target's.
        target: what it is for.

    Raises:
        UnsupportedError: an operator is newer than the model's opset, or something in it than the IR version
            that was asked for or than the runtime takes.
        InputError: there is no such IR version.
    """
    model.opset_imports[""] = min(model.opset_imports[""], target.newest)
    _check_operators(model)
    needed, reason = oldest_ir(model)
    asked, runtime = target.ir_version, target.runtime
    if asked is not None and asked < needed:
        raise UnsupportedError(OWNER, "ir_version", asked, f"{needed} and newer: {reason} needs it")
    if asked is not None and asked > NEWEST_IR:
        raise InputError(f"ir_version should be {NEWEST_IR} at most, the newest of this onnx; found {asked}")
    if runtime is not None and needed > runtime.ir_version:
        supported = f"models without {reason}, which needs IR {needed}; {runtime} takes {runtime.ir_version}"
        raise UnsupportedError(OWNER, "runtime", runtime.name, supported)
    model.ir_version = needed if asked is None else asked


def oldest_ir(model: ir.Model) -> tuple[int, str]:
    """The oldest IR version that has all that is in ``model``, and what needs it."""
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in model.opset_imports.items()]
    opset = model.opset_imports.get("", 1)
    needed = onnx.helper.find_min_ir_version_for(imports, ignore_unknown=True), f"opset {opset}"
    return max([needed, *_newer_content(model)])


def _newer_content(model: ir.Model) -> Iterator[tuple[int, str]]:
    for graph in model.graphs():
        values = [*graph.inputs, *graph.initializers.values(), *(v for node in graph for v in node.outputs)]
        for value in values:
            if value.dtype is not None and value.dtype in IR_OF_DTYPES:
                yield IR_OF_DTYPES[value.dtype], f"the type {value.dtype.name} of {value.name!r}"
        if graph.metadata_props or any(one.metadata_props for one in [*values, *graph]):
            yield 10, "metadata of nodes and values"


def _check_operators(model: ir.Model) -> None:
    problems = []
    for node in model.graph.all_nodes():
        version = model.opset_imports.get(node.domain)
        if version is None or _takes(node, version) is not False:
            continue
        newer = (opset for opset in range(version + 1, NEWEST + 1) if _takes(node, opset))
        first = next(newer, None)
        supported = "no opset" if first is None else f"opset {first} or newer"
        problems.append(UnsupportedError(f"{OWNER}, opset {version}", "operator", node.op_type, supported))
    raise_unsupported(OWNER, problems)


def _takes(node: ir.Node, version: int) -> bool | None:
    """Whether an opset has the operator as the node has it; ``None`` where nothing is known of it."""
    if not onnx.defs.has(node.op_type, node.domain):
        return None
    try:
        schema = onnx.defs.get_schema(node.op_type, version, node.domain)
    except onnx.defs.SchemaError:
        return False
    return len(node.inputs) <= schema.max_input and set(node.attributes) <= set(schema.attributes)

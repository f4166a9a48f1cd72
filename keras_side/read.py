"""Whole Keras models to graphs: from a live model, or from a file of any Keras, without keras.

Both ways end in the same serialised configuration, so a file gives the very graph its live model does.
Nested models are laid flat, their layers named ``outer.inner``. The masks Keras hands on behind the scenes
become edges here: a mask that a functional model recorded for a call is taken as recorded; where it
recorded none, the layer gets what its input carries, as it does when Keras runs the model. Files of Keras 1
and 2 come here in the words of Keras 3 (`keras_side.legacy`), with the rules their masks went by.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biport import ops
from biport.errors import (
    UnsupportedError,
    UnsupportedModelError,
    raise_unsupported,
)
from biport.graph import Graph, Node, Value
from biport.inputs import carries
from biport.log import logged
from biport.rewrite.simplify import simplify
from biport.rewrite.states import explicit_states
from keras_side.check_recorded import check_recorded
from keras_side.code_needed import advise_code
from keras_side.file.model_file import ModelFile
from keras_side.legacy.weights import UnplacedError
from keras_side.load_code import Code, check_meaning, load_with_code
from keras_side.operations.registry import MADE
from keras_side.operations.terms import LOOK_UP, TAKE_IDS
from keras_side.ops.source import SIZED
from keras_side.policies import coarse_in, note
from keras_side.reading.call_order import ends_masks
from keras_side.reading.graph_builder import MASK_OPS, SMALL_INTEGERS, GraphBuilder, KerasTensor
from keras_side.reading.live_model import LiveVariables, describe, is_live
from keras_side.reading.stateful import kept_states, offering_states, with_kept_states
from keras_side.reading.traverse import Traversal
from keras_side.recording.ctc import live_prediction
from keras_side.recording.custom import has_mapped
from keras_side.recording.model import needs_recording, record
from keras_side.records import Variables, serialized
from keras_side.registry import READERS
from keras_side.release import Release
from keras_side.shared.recurrent import KeptStates
from keras_side.typed_errors import named_errors, typed_errors
from keras_side.unsupported import subclassed


@logged("keras_side.read")
def read(
    source: Any,
    config: Any = None,
    *,
    code: Code | None = None,
    example: Any = None,
    states: str | None = None,
) -> Graph:
    """Read a live Keras model, or the file of one, into a graph.

    A file is read statically: neither keras nor tensorflow is imported and nothing in it is executed. It may
    be a ``.keras`` or ``.h5`` file of Keras 1, 2 or 3, and means what the Keras that wrote it meant. A live
    model is its owner's own running code: where it has custom layers, Lambdas or a ``call`` of its own, these
    are run on symbolic tensors, and what they call is read; the graph is then compared with the model.

    Args:
        source: a built live model, or the path of a file.
        config: for a file of weights alone, the configuration that goes with it, as ``model.to_json()``
            writes it: the path of a JSON file, or the mapping in it.
        code: for a file with custom layers or Lambdas, the module that has them, or ``custom_objects`` as
            Keras takes them; a Lambda's function has the name of its layer. The file is then loaded by Keras
            with these, and read like a live model.
        example: for a live model that is neither Sequential nor functional, what it is called with: arrays
            in the structure that ``call`` takes, a tuple of several arguments. By default it is what the
            model was first called with or built for.
        states: what is read of the states that stateful layers keep from call to call. With ``"explicit"``
            they are inputs and outputs behind the model's own, ``lstm.h``, ``(N, H)``, and ``lstm.h_next``;
            with ``"zero"`` each call starts from zeros. By default a stateful layer is refused. How many rows
            a stateful model was built for makes no difference.

    Returns:
        The graph; the same, bit for bit, for a live model and for the file it was saved to.

    Raises:
        FileError: the file is missing, truncated, foreign or hostile.
        UnsupportedError: layers or settings biport does not port, all of them at once, by name.
        WeightError: weights missing, left over, of the wrong shape, or not finite.
        InputError: the live model has not been built, or nothing says what it is called with; ``config`` is
            missing, or not needed; ``states`` is neither of the two.
    """
    kept = kept_states(states)
    if is_live(source):
        return read_live(source, example=example, states=kept)
    if not isinstance(source, str | os.PathLike):
        own = f"{type(source).__module__}.{type(source).__qualname__}"
        older = any(base.__module__.startswith("tf_keras.") for base in type(source).__mro__)
        live = "the file that a live model of Keras 2 is saved to" if older else "live Keras models"
        raise UnsupportedError(own, supported=(live, "paths of .keras and .h5 files"))
    path = Path(source)
    if code is not None:
        graph = read_live(load_with_code(path, code), example=example, owner=path.name, states=kept)
        check_meaning(path, graph)
        return graph
    with typed_errors(path.name), ModelFile(path, config) as file:
        return read_file(file, kept)


def read_live(
    model: Any,
    instead: Mapping[int, np.ndarray] | None = None,
    example: Any = None,
    owner: str | None = None,
    states: KeptStates | None = None,
) -> Graph:
    """The graph of a live model; see `read`.

    Args:
        model: the model.
        instead: arrays to be read in place of the values of its variables, by the identity of these: reading
            is linear, so gradients come out under the names and in the layouts of the weights.
        example: see `read`.
        owner: how errors call the model, by its name where nothing is said.
        states: as for `read`.
    """
    owner, origin = owner or f"model {model.name!r}", Release(sys.modules["keras"].__version__)
    if (cut := live_prediction(model)) is not None:
        graph = read_live(cut[0], instead, example, owner, states)
        return dataclasses.replace(graph, origin=_noted(graph.origin, [cut[1]]))
    with named_errors(owner):
        if needs_recording(model):
            return _read_recorded(model, instead or {}, example, owner, origin, states)
        data, variables = describe(model, owner), LiveVariables(model, owner, instead or {})
        graph = _read_model(data, variables, owner, origin, states, compared=True)
    if instead is None and has_mapped(model):
        check_recorded(model, graph, owner)
    return graph


def _read_recorded(
    model: Any,
    instead: Mapping[int, np.ndarray],
    example: Any,
    owner: str,
    origin: Release,
    states: KeptStates | None,
) -> Graph:
    """The graph of a live model whose code is run: on symbolic tensors of Keras, or else of TensorFlow.

    Code may take symbolic tensors of Keras for what they are not: sizes that vary are ``None`` there, which
    some functions take for nothing at all. What was recorded is therefore compared with the model.
    """
    problems: list[UnsupportedError] = []
    for closed in (False, True):

        def graph_with(arrays: Mapping[int, np.ndarray], closed: bool = closed) -> Graph:
            data, variables = record(model, owner, arrays, example, closed)
            return _read_model(data, variables, owner, origin, states, compared=True)

        try:
            graph = graph_with({})
            check_recorded(model, graph, owner)
        except UnsupportedError as problem:
            problems.append(problem)
        else:
            return graph_with(instead) if instead else graph
    raise problems[0]


def read_file(file: ModelFile, states: KeptStates | None = None) -> Graph:
    """The graph of an open file; see `read`."""
    try:
        graph = _read_model(file.config, file.variables, file.owner, file.origin, states)
    except UnsupportedError as problem:
        advise_code(problem)
        raise
    file.variables.check_all_taken()
    return graph


def readable_ops() -> set[type[ops.Op]]:
    """The ops that a graph may have which was read from Keras: those of layers, operations and masks."""
    layers = {READERS.lookup(name, name).op for name in READERS}
    return layers | {*MADE, *MASK_OPS, *SIZED}


def _read_model(
    data: Mapping[str, Any],
    variables: Variables,
    owner: str,
    origin: Release,
    states: KeptStates | None = None,
    compared: bool = False,
) -> Graph:
    if states is not None:
        data = with_kept_states(data, states)
    try:
        class_name, config = serialized(owner, data)
    except UnsupportedError as problem:
        raise UnsupportedModelError(owner, [subclassed(owner, data["class_name"])]) from problem
    inside = functools.partial(_read_model, origin=origin)
    traversal = Traversal(owner, origin, ends_masks(config), inside)
    builder = traversal.builder
    builder.coarse = coarse_in(data)
    outputs: list[KerasTensor] = []
    try:
        outputs = traversal.model(class_name, config, variables, prefix="", inputs=None)
    except UnsupportedError as problem:
        builder.refuse(problem)
    # What follows from another reason says nothing new.
    problems = [problem for problem in builder.problems if not isinstance(problem, UnplacedError)]
    with offering_states(states):
        raise_unsupported(owner, problems or builder.problems)
    nodes = builder.read_nodes([output.value for output in outputs])
    dtype = _float_dtype(builder, nodes)
    consumers = _consumers(nodes)
    given = builder.graph_inputs()
    inputs = [_graph_input(value, consumers[value.name], dtype, owner) for value in given]
    graph = Graph(
        inputs=tuple(inputs),
        nodes=tuple(_with_ids(builder, nodes, inputs, dtype)),
        outputs=tuple(output.value for output in outputs),
        origin=_origin(
            origin, builder.coarse, () if compared else traversal.mappings.notes(owner), traversal.notes
        ),
        tokenizers=builder.tokenizers,
    )
    return simplify(explicit_states(graph, traversal.stateful.nodes))


def _origin(
    release: Release, coarse: Sequence[str], unchecked: Sequence[str], left_out: Sequence[str]
) -> dict[str, str]:
    """What a graph says of the model it was read from.

    Args:
        release: the Keras that wrote it.
        coarse: the floats of 16 bits that it computes in, the coarsest one last.
        unchecked: what was taken on somebody's word.
        left_out: what of the model was not read.
    """
    origin = {"framework": "keras", "version": release.version}
    if coarse:
        origin["precision"] = coarse[-1]
    if unchecked:
        origin["unchecked"] = "; ".join(unchecked)
    return _noted(origin, [*map(note, coarse), *unchecked, *left_out])


def _noted(origin: Mapping[str, str], notes: Sequence[str]) -> dict[str, str]:
    """The same with more that people should know."""
    every = [*([origin["notes"]] if "notes" in origin else []), *notes]
    return {**origin, **({"notes": "; ".join(every)} if every else {})}


def _float_dtype(builder: GraphBuilder, nodes: Sequence[Node]) -> str:
    """The float dtype of a graph, that of its layers' weights; without any, that of the model's inputs.

    Raises:
        UnsupportedError: an operation names another one.
    """
    layers = [node for node in nodes if node.name not in builder.operations]
    given = next((value.dtype for value in builder.inputs if value.dtype in ops.FLOATS), "float32")
    dtype = next((own for node in layers if (own := node.op.dtype)), given)
    for owner, wanted in builder.floats:
        if wanted != dtype:
            raise UnsupportedError(owner, "dtype", wanted, f"{dtype}: a graph has one float dtype")
    return dtype


def _consumers(nodes: Sequence[Node]) -> dict[str, set[type[ops.Op]]]:
    consumers: dict[str, set[type[ops.Op]]] = defaultdict(set)
    for node in nodes:
        for name in node.inputs:
            consumers[name].add(type(node.op))
    return consumers


def _with_ids(
    builder: GraphBuilder, nodes: Sequence[Node], inputs: Sequence[Value], dtype: str
) -> Iterator[Node]:
    """The nodes, those that take ids reading integers where Keras cuts floats, and all floats of one dtype.

    Floats that are a model input's are ids, and `ops.ToIds` refuses others; those that something else gives
    are cut.
    """
    consumers = _consumers(nodes)
    integers = {value.name for value in inputs if value.dtype in ops.INTEGERS}
    cut = {node.outputs[0]: node.inputs[0] for node in nodes if _cuts(node.op)}
    looked_up = [node.inputs[0] for node in nodes if type(node.op) in LOOK_UP]
    of_ids = {builder.origin(cut.get(name, name)) for name in looked_up} - {None}
    converted: dict[str, str] = {}
    for node in nodes:
        source = node.inputs[0] if node.inputs else ""
        origin, floats = builder.origin(source), source not in integers
        if floats and origin in of_ids and _cuts(node.op) and consumers[node.name] <= TAKE_IDS:
            node = dataclasses.replace(node, op=ops.ToIds())
        if floats and isinstance(node.op, ops.NotEqual) and origin not in of_ids:
            yield from _compared(builder, node, dtype)
            continue
        if floats and type(node.op) in TAKE_IDS:
            if source not in converted:
                converted[source] = builder.free_name(f"{source}.ids")
                yield Node(converted[source], _to_ids(origin), (source,))
            node = dataclasses.replace(node, inputs=(converted[source],))
        if node.name in builder.operations and node.op.dtype not in (None, dtype):
            # A number that float32 cannot hold is infinite, as it is to Keras.
            with np.errstate(over="ignore"):
                node = dataclasses.replace(node, op=node.op.astype(dtype))
        yield node
        if carries(node.op) and source in integers:
            integers.update(node.outputs)
        integers.update(name for name in node.outputs if builder.is_integer(name))


def _cuts(op: ops.Op) -> bool:
    return isinstance(op, ops.Cast) and op.output_dtype in ops.INTEGERS


def _to_ids(origin: str | None) -> ops.Op:
    return ops.Cast(output_dtype="int32") if origin is None else ops.ToIds()


def _compared(builder: GraphBuilder, node: Node, dtype: str) -> Iterator[Node]:
    """A comparison of floats that are no ids: before they are cut."""
    assert isinstance(node.op, ops.NotEqual)
    number = builder.free_name(f"{node.name}.constant")
    yield Node(number, ops.Constant(value=np.asarray(node.op.value, dtype)), ())
    yield Node(node.name, ops.Elementwise(function="not_equal"), (*node.inputs, number), node.outputs)


def _graph_input(value: Value, used_by: set[type[ops.Op]], dtype: str, owner: str) -> Value:
    """A model input as the graph declares it.

    Keras takes ids as floats, the default of an InputLayer, and cuts them to integers; a graph says what
    they are, for layers that take nothing else. All float values of a graph have the dtype of its weights.
    """
    if value.dtype in (*ops.INTEGERS, "bool"):
        return value
    if value.dtype not in (*ops.FLOATS, *SMALL_INTEGERS):
        raise UnsupportedError(
            f"{owner}: input {value.name!r}", "dtype", value.dtype, (*ops.INTEGERS, *ops.FLOATS, "bool")
        )
    only_ids = bool(used_by & LOOK_UP) and used_by <= TAKE_IDS
    if only_ids or value.dtype in SMALL_INTEGERS:
        return Value(value.name, value.shape, "int32")
    return Value(value.name, value.shape, dtype)

"""``TimeDistributed`` around what is no single op, models above all: between two reshapes, its steps as rows.

Keras calls what is inside once a step, with the batch's rows and that step of the mask, and hands the mask it
was given on (keras/src/layers/rnn/time_distributed.py of 3.15, ``call``; it has no ``compute_mask``). Rows do
not meet inside, so that the steps of all rows may as well be the rows of one call. Keras 2 makes them so, and
asks what is inside for the mask that goes on (``compute_mask`` in tf_keras/src/layers/rnn/time_distributed.py
of 2.21).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from biport import ops
from biport.errors import FileError, UnsupportedError
from biport.graph import Node
from biport.ops import same_dim
from keras_side.legacy.weights import layer_entries, layer_name
from keras_side.mapped import reader_of_class
from keras_side.masks import AnyInside, Mask, OfRows, OfSteps, OfWholeRows
from keras_side.ops.recurrent import exchanged
from keras_side.ops.scan import steps_with_body
from keras_side.reading.config_entries import Layer, built_shape
from keras_side.reading.graph_builder import GraphBuilder, KerasTensor
from keras_side.records import MODELS, described, serialized
from keras_side.registry import READERS
from keras_side.release import Release
from keras_side.shared.activations import split_activation
from keras_side.shared.cells import CELL_READERS
from keras_side.shared.channels import channels_last
from keras_side.shared.encoding import encodes

TIME_DISTRIBUTED = "TimeDistributed"
ASKS_SINCE = (2, 2, 3)
"""The Keras since which a mask that goes on is known to be that of what is inside."""


@dataclass
class StepsAsRows:
    """What becomes of the tensors and masks of TimeDistributed layers.

    Args:
        builder: where the nodes go.
        origin: the Keras that wrote the model.
    """

    builder: GraphBuilder
    origin: Release
    _inside: dict[int, Layer] = field(default_factory=dict)
    """By the identity of a configuration, so that what is inside has the same weights in every call."""

    def inside(self, layer: Layer) -> Layer:
        """The layer or model inside.

        Raises:
            FileError: there is none.
            UnsupportedError: it is somebody else's, or takes more than one tensor.
        """
        if id(layer.config) not in self._inside:
            self._inside[id(layer.config)] = _inside(layer)
        return self._inside[id(layer.config)]

    def is_one_op(self, layer: Layer, mask: Mask | None) -> bool:
        """Whether the layer, called on a tensor with this mask, is an `ops.TimeDistributed`."""
        inner = self.inside(layer)
        if inner.mapping is not None:
            return False
        if inner.class_name in MODELS or inner.class_name not in READERS:
            return inner.class_name not in MODELS
        if mask is not None and not self._passes_by(inner, mask):
            return False
        if inner.class_name == TIME_DISTRIBUTED:
            return self.is_one_op(inner, None)
        makes_mask = inner.class_name == "Masking" and self.origin.generation < 3
        several = (
            exchanged(inner.record),
            split_activation(inner.record),
            channels_last(inner.record),
            steps_with_body(inner.record),
            encodes(inner.record),
        )
        return inner.class_name != "Embedding" and not makes_mask and not any(several)

    def _passes_by(self, inner: Layer, mask: Mask) -> bool:
        """Whether a mask goes on as it is, and nothing inside sees it."""
        if inner.class_name == TIME_DISTRIBUTED or READERS.lookup(inner.class_name, inner.owner).op.masked:
            return False
        rank = len(self.builder.mask_shape(mask))
        return rank == 2 or (rank > 2 and self.origin.generation == 3)

    def rows(self, layer: Layer, name: str, x: KerasTensor) -> KerasTensor:
        """What is inside is given: ``(N, T, ...)`` as ``(N·T, ...)``.

        Raises:
            UnsupportedError: there are no steps, or the mask is none of the steps.
        """
        tensor = self.builder.tensor(x.value)
        if len(tensor.shape) < 3:
            raise UnsupportedError(layer.owner, "input", str(tensor), "three or more dimensions")
        N, T, *rest = tensor.shape
        value = self.builder.free_name(_beside(self.inside(layer), f"{name}.rows"))
        self.builder.add_operation(Node(value, ops.ReshapeTo(shape=(N * T, *rest)), (x.value,)))
        return KerasTensor(value, self._mask_of_rows(layer, f"{name}.mask", x.mask))

    def _mask_of_rows(self, layer: Layer, name: str, mask: Mask | None) -> Mask | None:
        if mask is None:
            return None
        if self.origin.generation < 3 and self.builder.fixed_batch:
            # It then goes step by step, and repeats the output before at masked steps.
            supported = "a batch of any size where steps are masked"
            raise UnsupportedError(layer.owner, "batch size", "fixed", supported)
        rank = len(self.builder.mask_shape(mask))
        if rank == 1:
            raise UnsupportedError(layer.owner, "mask", "of whole steps", "an input without a mask")
        return (OfWholeRows if rank == 2 else OfRows)((mask,), _beside(self.inside(layer), name))

    def steps(self, layer: Layer, name: str, x: KerasTensor, rows: KerasTensor) -> KerasTensor:
        """What is inside gave for the rows of ``x``: ``(N·T, ...)`` as ``(N, T, ...)``, called ``name``.

        Raises:
            UnsupportedError: it gave no row for each.
        """
        N, T, *_ = self.builder.tensor(x.value).shape
        batch, *rest = self.builder.tensor(rows.value).shape
        if not same_dim(batch, N * T):
            supported = "layers and models that give a row for each row"
            raise UnsupportedError(layer.owner, "layer", self.inside(layer).class_name, supported)
        self.builder.add_operation(Node(name, ops.ReshapeTo(shape=(N, T, *rest)), (rows.value,)))
        return KerasTensor(name, self._mask_of_steps(layer, name, x, rows.mask))

    def _mask_of_steps(self, layer: Layer, name: str, x: KerasTensor, inner: Mask | None) -> Mask | None:
        if self.origin.generation == 3:
            return x.mask
        asked = self._asked(f"{name}_mask", x, inner)
        if asked != x.mask and self.origin.before(*ASKS_SINCE):
            supported = "files of Keras 2.2.3 and later where what is inside has masks of its own"
            raise UnsupportedError(layer.owner, "mask", f"Keras {self.origin.version}", supported)
        return asked

    def _asked(self, name: str, x: KerasTensor, inner: Mask | None) -> Mask | None:
        """The mask that goes on in Keras 2."""
        given = x.mask
        if inner is None:
            if given is None or len(self.builder.mask_shape(given)) == 2:
                return given
            return AnyInside((given,), name)
        if isinstance(inner, OfRows | OfWholeRows) and inner.masks[0] == given:
            return given
        N, T, *_ = self.builder.tensor(x.value).shape
        return OfSteps((inner,), name, (N, T))


def _inside(layer: Layer) -> Layer:
    data = layer.config.get("layer")
    if not isinstance(data, Mapping):
        raise FileError(f"{layer.owner}: layer should be a serialised layer")
    mapping = reader_of_class(data)
    class_name, config = serialized(layer.owner, data) if mapping is None else described(layer.owner, data)
    many = class_name in READERS and READERS.lookup(class_name, layer.owner).calls is not None
    if mapping is None and (many or class_name in CELL_READERS):
        raise UnsupportedError(layer.owner, "layer", class_name, "layers that are called with one tensor")
    return Layer(
        class_name=class_name,
        name=str(config.get("name", "layer")),
        module=str(data.get("module") or "keras"),
        config=config,
        variables=layer.variables.child("layer"),
        owner=f"{layer.owner}: layer ({class_name})",
        calls=layer.calls,
        input_shape=built_shape(data),
        mapping=mapping,
        reads_model=layer.reads_model,
    )


def model_inside(layer: Layer) -> Layer | None:
    """The model that a layer is, or that a TimeDistributed has inside; ``None`` for any other layer."""
    if layer.class_name in MODELS:
        return layer
    if layer.class_name != TIME_DISTRIBUTED or layer.problem is not None:
        return None
    try:
        inner = _inside(layer)
    except UnsupportedError:
        return None
    return inner if inner.class_name in MODELS else None


def _beside(inner: Layer, name: str) -> str:
    """A name that no layer of the model inside will have."""
    others = {layer_name(entry) for entry in layer_entries({"config": inner.config})}
    while name.rpartition(".")[2] in others:
        name += "_"
    return name


def only(layer: Layer, tensors: Sequence[KerasTensor]) -> KerasTensor:
    """The one tensor that a TimeDistributed takes or gives.

    Raises:
        UnsupportedError: there are several.
    """
    if len(tensors) != 1:
        raise UnsupportedError(layer.owner, "inputs or outputs", len(tensors), "one of each")
    return tensors[0]

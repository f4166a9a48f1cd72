"""One call of a layer: what it reads, the masks it gets and hands on, and the nodes it becomes."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

import keras_side.ops
from biport import ops
from biport.errors import FileError, UnsupportedError
from biport.graph import Node
from biport.ops.convolution import Convolving
from biport.registry import discover
from biport.text import Tokenizer
from keras_side.legacy.directions import MERGES, repeating, side_by_side
from keras_side.legacy.masks import mask_rules
from keras_side.legacy.unsupported import refuse_other_meaning
from keras_side.masks import Full, Given, Mask, OfScores, all_of
from keras_side.ops.recurrent import both_directions, exchanged
from keras_side.ops.scan import steps_with_body
from keras_side.policies import dtype_name
from keras_side.reading.config_entries import Layer, flat_states, layer_of
from keras_side.reading.every_step import only
from keras_side.reading.graph_builder import GraphBuilder, KerasTensor
from keras_side.reading.mask_expressions import Data, OfEveryQuery, Unreadable, Wide, as_mask
from keras_side.reading.stateful import StatefulLayers
from keras_side.records import MODELS, LayerRecord
from keras_side.registry import READERS, LayerReader, Taken
from keras_side.release import Release
from keras_side.shared.activations import split_activation
from keras_side.shared.attention import CARRIED, AttentionCall, refuse_old, refuse_weighted_padding
from keras_side.shared.cells import CELL_READERS
from keras_side.shared.channels import channels_last, to_first, to_last
from keras_side.shared.encoding import encodes, encoding_nodes, vectors
from keras_side.shared.tokenizers import TOKENIZERS, check_rank
from keras_side.unsupported import unsupported_class

discover(keras_side.ops)

CONSTANTS = "constants"
"""The argument for what a recurrent layer is given at every step."""


def reader_of(layer: Layer) -> Callable[[LayerRecord], ops.Op | Tokenizer]:
    """The function that reads a layer.

    Raises:
        UnsupportedError: there is none.
    """
    if layer.class_name in CELL_READERS:
        return CELL_READERS.lookup(layer.class_name, layer.owner)
    if layer.class_name in TOKENIZERS:
        return TOKENIZERS.lookup(layer.class_name, layer.owner)
    if layer.class_name not in READERS:
        raise unsupported_class(layer.owner, layer.class_name, layer.config)
    return READERS.lookup(layer.class_name, layer.owner).read


@dataclass
class LayerApplier:
    """How layers are applied in one model and the models inside it.

    Args:
        builder: where the nodes go.
        origin: the Keras that wrote the model.
        stateful: where layers are gathered that keep their states from call to call.
    """

    builder: GraphBuilder
    origin: Release
    stateful: StatefulLayers = field(default_factory=StatefulLayers)
    _steps: dict[int, ops.Cell] = field(default_factory=dict)
    """By the identity of a cell: the op that takes one step with it, the same for every call."""
    _set: dict[tuple, ops.Op] = field(default_factory=dict)
    """By the identity of an op and the settings of a call: the op with these settings."""
    _directions: dict[int, tuple[ops.Recurrent, ops.Recurrent]] = field(default_factory=dict)
    """By the identity of a Bidirectional: its directions, the same for every call."""
    _unmerged: dict[int, ops.Bidirectional] = field(default_factory=dict)
    """By the identity of a Bidirectional: the same with its directions left as two."""
    _pairs: dict[int, tuple[Layer, Layer, str | None]] = field(default_factory=dict)
    """By the identity of the configuration of a Bidirectional: its layers, and how they are merged."""
    _ids: dict[tuple[int, str], KerasTensor] = field(default_factory=dict)
    """By the identity of a tokeniser and the input of texts: the ids, the same for every call."""
    _training: bool = False
    """Whether the calls being read are told to train."""

    def __post_init__(self) -> None:
        self.rules = mask_rules(self.origin)

    @contextlib.contextmanager
    def called(self, training: object) -> Iterator[None]:
        """Within a call with this argument ``training``, which holds for layers inside that say nothing."""
        before = self._training
        self._training = training if isinstance(training, bool) else before
        try:
            yield
        finally:
            self._training = before

    def _check_training(self, layer: Layer, op: ops.Op) -> None:
        """Refuse a layer that goes on training at inference, and by that computes something else."""
        if self._training and op.acts_in_training:
            supported = "calls without it where a layer drops or averages: that goes on at inference"
            raise UnsupportedError(layer.owner, "call argument training", True, supported)

    def arguments(
        self, layer: Layer, arguments: list, options: Mapping
    ) -> tuple[list[KerasTensor], Mask | None, list[KerasTensor]]:
        """What a call reads: its data, the mask it was given, initial states and then constants."""
        is_cell, is_layer = layer.class_name in CELL_READERS, layer.class_name in READERS
        reader = READERS.lookup(layer.class_name, layer.owner) if is_layer else None
        takes_states = is_cell or (reader is not None and reader.states)
        key_of_states = "states" if is_cell else "initial_state"
        known = {key_of_states} if takes_states else set()
        known |= {CONSTANTS} if reader is not None and reader.constants else set()
        for key, option in options.items():
            harmless = option is None or (key == "training" and isinstance(option, bool))
            if not harmless and key != "mask" and key not in known:
                raise UnsupportedError(layer.owner, f"call argument {key}", option, "calls without it")
        if not 1 <= len(arguments) <= (2 if takes_states else 1):
            raise UnsupportedError(layer.owner, "call arguments", len(arguments), "one, or one list")
        flat = arguments[0] if isinstance(arguments[0], list) else arguments[:1]
        mask = options.get("mask")
        if not flat:
            raise FileError(f"{layer.owner}: is called without inputs")
        tensors = [self._data(layer, item) for item in flat]
        if isinstance(mask, list):
            # A model inside another is given one for each of its inputs.
            if layer.class_name not in MODELS or len(mask) != len(tensors):
                raise UnsupportedError(layer.owner, "call argument mask", "a list", "one mask")
            return [self._masked(layer, *pair) for pair in zip(tensors, mask, strict=True)], None, []
        states = arguments[1] if len(arguments) == 2 else options.get(key_of_states)
        return (
            tensors,
            as_mask(self.builder.symbol(mask), layer.owner),
            [self.builder.data(item) for item in flat_states([states, options.get(CONSTANTS)])],
        )

    def _masked(self, layer: Layer, tensor: KerasTensor, mask: object) -> KerasTensor:
        """A tensor with the mask it is given; with its own, where that is none."""
        given = as_mask(self.builder.symbol(mask), layer.owner)
        return tensor if given in (None, tensor.mask) else KerasTensor(tensor.value, given)

    def _data(self, layer: Layer, item: object) -> KerasTensor:
        """What a layer reads, texts where it may be one of those that do."""
        of_texts = layer.class_name in TOKENIZERS or layer.class_name in MODELS
        return self.builder.tensor_of(item) if of_texts else self.builder.data(item)

    def _tokenizer(self, layer: Layer, name: str, text: KerasTensor) -> list[KerasTensor]:
        """A layer that reads texts: an input of ids, and what it makes of them.

        Raises:
            UnsupportedError: it reads something else, or texts of a rank that is not supported.
        """
        tokenizer = layer.read(reader_of(layer))
        if not self.builder.is_text(text.value):
            supported = "an input of the model, dtype='string'"
            raise UnsupportedError(layer.owner, "input", text.value, supported)
        assert isinstance(tokenizer, Tokenizer)
        check_rank(layer.owner, tokenizer, len(self.builder.tensor(text.value).shape))
        key = id(tokenizer), text.value
        if key not in self._ids:
            self._ids[key] = self.builder.ids_of(text.value, tokenizer, name)
        ids = self._ids[key]
        shape = self.builder.tensor(ids.value).shape
        sizes = [dim if isinstance(dim, int) else None for dim in shape]
        record = dataclasses.replace(layer.record, input_shape=sizes)
        if not encodes(record):
            return [ids]
        nodes = vectors(record, name, ids.value, len(tokenizer))
        for node in nodes:
            self.builder.add(node)
        return [KerasTensor(nodes[-1].name)]

    def layer(
        self,
        layer: Layer,
        name: str,
        tensors: Sequence[KerasTensor],
        mask: Mask | None,
        states: Sequence[KerasTensor],
    ) -> list[KerasTensor]:
        """A call of any other layer.

        Args:
            layer: the layer.
            name: of the node it becomes.
            tensors: what it reads.
            mask: the one it was called with, or recorded for the call.
            states: what it starts from, and constants behind that.

        Raises:
            UnsupportedError: a setting, or a mask, that is not supported.
        """
        if layer.problem is not None:
            raise layer.problem
        if layer.class_name in CELL_READERS:
            return self._cell(layer, name, tensors, states)
        if layer.class_name == "Bidirectional" and steps_with_body(layer.record):
            return self._two_layers(layer, name, tensors, mask, states)
        reader_of(layer)
        tensors = [self._data(layer, tensor) for tensor in tensors]
        if layer.class_name in TOKENIZERS:
            return self._tokenizer(layer, name, only(layer, tensors))
        if not layer.input_shape and encodes(layer.record):
            # Lookups do not say it; what they are given does.
            shape = self.builder.tensor(tensors[0].value).shape
            layer.input_shape = [dim if isinstance(dim, int) else None for dim in shape]
        turned, split = exchanged(layer.record), split_activation(layer.record)
        read, record = reader_of(layer), turned or (split[0] if split else layer.record)
        over_steps = channels_last(record)
        record = over_steps or record
        op = layer.read(lambda _: read(record))
        self._check_training(layer, op)
        self.stateful.call(layer.owner, record.config, name, op, len(states))
        if over_steps is not None and name in self.stateful.nodes:
            supported = "channels_last where states go on from call to call; or states that are read as zero"
            raise UnsupportedError(layer.owner, "data_format", "channels_first", supported)
        reader = READERS.lookup(layer.class_name, layer.owner)
        if reader.taken is not None:
            return self._taken(layer, name, op, reader.taken(record), tensors)
        # A recorded mask equal to the one the input carries keeps that one's name.
        carried = [tensor.mask if mask in (None, tensor.mask) else mask for tensor in tensors]
        # Keras 3.15 gives a layer the mask its input carries only where the input is its one tensor: called
        # with an initial state, a recurrent layer scans the padding too, though it hands the mask on.
        alone = mask is None and bool(states) and not self.rules.beside_states
        unmasked = alone or layer.class_name in self.rules.unmasked
        taken = [None] * len(carried) if unmasked else carried
        refuse_other_meaning(self.origin, layer.owner, op, any(taken), bool(states))
        count = op.output_count
        values = [name] if count == 1 else [f"{name}:{position}" for position in range(count)]
        inputs = [tensor.value for tensor in tensors]
        masks = [
            None
            if position not in op.masked or part is None or isinstance(part, Full)
            else self._mask_value(layer, part)
            for position, part in enumerate(taken)
        ]
        given = [state.value for state in states]
        if over_steps is not None:
            inputs = [self._features_last(op, f"{name}.channels_last", tensors[0].value)]
            given = [
                self._features_last(op, f"{name}.state_{number}", value)
                for number, value in enumerate(given, 1)
            ]
            if any(masks) and not isinstance(op, ops.ConvolutionalLSTM):
                # Keras lays a mask of the steps along axis 1 over axis 2.
                supported = "channels_last where the input has a mask"
                raise UnsupportedError(layer.owner, "data_format", "channels_first", supported)
        if reader.refuse_masked is not None and any(masks):
            reader.refuse_masked(record, op)
        sources = (*inputs, *given)
        if turned is not None:
            values = self._turned(layer, name, op, sources, masks[0])
        elif masks[0] is not None and self.rules.directions_repeat and _gives_sequences(op):
            values = self._two_directions(name, op, sources, masks[0])
        else:
            self.builder.add(Node(name, op, sources, tuple(values), (*masks, *[None] * len(states))))
        if over_steps is not None:
            self._check_bias(layer, op, values[0])
            values = [self._features_first(op, f"{value}.channels_first", value) for value in values]
        for node in encoding_nodes(record, op, name):
            self.builder.add(node)
            values = [node.name]
        if split is not None:
            values = [self._activated(name, values[0], split[1])]
        try:
            rule = self.rules.of_layers.get(layer.class_name, reader.masks)
            handed = carried if self.rules.given_goes_on else [tensor.mask for tensor in tensors]
            output_masks = rule(op, name, inputs, handed)
        except UnsupportedError as problem:
            raise UnsupportedError(
                layer.owner, problem.setting, problem.value, problem.supported
            ) from problem
        if op.identity:
            return [tensors[0].twin(values[0])]
        return [KerasTensor(value, part) for value, part in zip(values, output_masks, strict=True)]

    def _taken(
        self, layer: Layer, name: str, op: ops.Op, taken: Taken, tensors: Sequence[KerasTensor]
    ) -> list[KerasTensor]:
        """A layer whose op reads some of the tensors, and of others the sizes; it ends all masks."""
        if max([taken.count, *(at + 1 for at, _ in taken.letters.values())]) > len(tensors):
            raise FileError(f"{layer.owner}: reads more tensors than the {len(tensors)} it is called with")
        sizes = {
            letter: self.builder.dim(layer.owner, tensors[at].value, axis)
            for letter, (at, axis) in taken.letters.items()
        }
        key = id(op), tuple((letter, str(dim)) for letter, dim in sorted(sizes.items()))
        op = self._set.setdefault(key, op.at(sizes))
        count = op.output_count
        values = [name] if count == 1 else [f"{name}:{position}" for position in range(count)]
        inputs = tuple(tensor.value for tensor in tensors[: taken.count])
        self.builder.add(Node(name, op, inputs, tuple(values)))
        return [KerasTensor(value) for value in values]

    def _mask_value(self, layer: Layer, mask: Mask) -> str:
        """The graph value of a mask that a layer takes."""
        rank = 2 if isinstance(mask, OfScores) else len(self.builder.mask_shape(mask))
        if rank > 2:
            supported = "masks of the steps, (N, T)"
            raise UnsupportedError(layer.owner, "mask", f"of {rank} dimensions", supported)
        try:
            return self.builder.mask_value(mask)
        except UnsupportedError as problem:
            raise UnsupportedError(
                layer.owner, problem.setting, problem.value, problem.supported
            ) from problem

    def _features_last(self, op: ops.Op, name: str, value: str) -> str:
        """``(N, I, *T)`` as ``(N, *T, I)``, which may have steps behind N."""
        return self._permuted(op, name, value, to_last)

    def _features_first(self, op: ops.Op, name: str, value: str) -> str:
        """What a layer gives, ``(N, *T, O)``, as ``(N, O, *T)``; where no axes are left, as it is."""
        return self._permuted(op, name, value, to_first)

    def _permuted(
        self, op: ops.Op, name: str, value: str, dims: Callable[[int, int], tuple[int, ...]]
    ) -> str:
        rank = len(self.builder.tensor(value).shape)
        if rank < 3:
            return value
        axes = op.dimensions if isinstance(op, ops.ConvolutionalLSTM) else rank - 2
        self.builder.add(Node(name, ops.Permute(dims=dims(rank, axes)), (value,)))
        return name

    def _check_bias(self, layer: Layer, op: ops.Op, name: str) -> None:
        """Refuse a convolution whose bias Keras 3.15 takes for one of the last axis, which is as long.

        Source:
            keras/src/backend/tensorflow/numpy.py, ``add``.
        """
        last = op.pointwise if isinstance(op, ops.SeparableConvolution) else op
        if not isinstance(last, Convolving) or last.bias is None or last.output_size == 1:
            return
        if self.builder.tensor(name).shape[-2] == last.output_size:
            supported = "channels_last where there are as many steps as filters"
            raise UnsupportedError(layer.owner, "data_format", "channels_first", supported)

    def _activated(self, name: str, value: str, activation: LayerRecord) -> str:
        """The layer that is the activation of another one, applied to what that gives."""
        op = READERS.lookup(activation.class_name, activation.owner).read(activation)
        self.builder.add(Node(f"{name}.activation", op, (value,)))
        return f"{name}.activation"

    def _turned(
        self, layer: Layer, name: str, op: ops.Op, sources: Sequence[str], mask: str | None
    ) -> list[str]:
        """A Bidirectional whose forward layer scans backwards, read as `exchanged`; the values it gives."""
        assert isinstance(op, ops.Bidirectional)
        if mask is not None and self.rules.directions_repeat and op.forward.return_sequences:
            supported = "a forward layer in time order, in masked models of the standalone Keras"
            raise UnsupportedError(layer.owner, "go_backwards", True, supported)
        if id(op) not in self._unmerged:
            self._unmerged[id(op)] = dataclasses.replace(op, merge=None)
        x, *states = sources
        own = len(op.backward.state_sizes)
        path = f"{name}.exchanged"
        values = [f"{path}:{position}" for position in range(self._unmerged[id(op)].output_count)]
        initial = (*states[own:], *states[:own])
        masks = (mask, *[None] * len(states))
        self.builder.add(Node(path, self._unmerged[id(op)], (x, *initial), tuple(values), masks))
        sequences, last = [values[1], values[0]], values[2:]
        own = len(op.forward.state_sizes)
        last = [*last[own:], *last[:own]]
        if op.merge is not None:
            merged = name if not op.forward.return_sequences else f"{name}.merged"
            self.builder.add(Node(merged, MERGES[op.merge](), tuple(sequences)))
            sequences = [merged]
        if op.forward.return_sequences:
            turned = [name] if len(sequences) == 1 else [f"{name}.turned_{position}" for position in (0, 1)]
            for value, sequence in zip(turned, sequences, strict=True):
                self.builder.add(Node(value, ops.Flip(), (sequence,)))
            sequences = turned
        return [*sequences, *last]

    def _two_directions(
        self, name: str, op: ops.Bidirectional, sources: Sequence[str], mask: str
    ) -> list[str]:
        """A Bidirectional of the standalone Keras under a mask; the values it gives."""
        if id(op) not in self._directions:
            self._directions[id(op)] = repeating(op)
        nodes, values = side_by_side(name, self._directions[id(op)], op.merge, sources[0], mask, sources[1:])
        for node in nodes:
            self.builder.add(node)
        return values

    def _two_layers(
        self,
        layer: Layer,
        name: str,
        tensors: Sequence[KerasTensor],
        mask: Mask | None,
        states: Sequence[KerasTensor],
    ) -> list[KerasTensor]:
        """A Bidirectional around layers that are no one op together: the two of them, merged."""
        if id(layer.config) not in self._pairs:
            one, two, merge = both_directions(layer.record)
            self._pairs[id(layer.config)] = layer_of(one), layer_of(two), merge
        *pair, merge = self._pairs[id(layer.config)]
        own = len(states) // 2
        paths = [f"{name}.{attribute}" for attribute in ("forward_layer", "backward_layer")]
        initial = states[:own], states[own:]
        (one, *first), (two, *second) = (
            self.layer(direction, path, tensors, mask, start)
            for direction, path, start in zip(pair, paths, initial, strict=True)
        )
        if len(self.builder.tensor(two.value).shape) == 3:
            # Keras turns the second direction's steps round, whichever way it goes.
            self.builder.add(Node(f"{name}.flip", ops.Flip(), (two.value,)))
            two = KerasTensor(f"{name}.flip", two.mask)
        if merge is None:
            return [one, two, *first, *second]
        self.builder.add(Node(name, MERGES[merge](), (one.value, two.value)))
        return [KerasTensor(name, one.mask), *first, *second]

    def attention(
        self, layer: Layer, name: str, reader: LayerReader, call: AttentionCall
    ) -> list[KerasTensor]:
        """A call of an attention, which has a mask for each of its sequences."""
        tensors = [self.builder.data(item) for item in call.sequences]
        given = [
            tensor.mask if mask is CARRIED else as_mask(self.builder.symbol(mask), layer.owner)
            for tensor, mask in zip(tensors, call.masks, strict=True)
        ]
        counted, attention_mask = self._attention_mask(layer, name, call, given)
        own = {"has_attention_mask": attention_mask is not None}
        op = self._with_settings(layer.read(reader.read), {**call.settings, **own})
        self._check_training(layer, op)
        masks = [
            self._mask_value(layer, mask) if position in op.masked and _counts(mask) else None
            for position, mask in enumerate(counted)
        ]
        limited = any(masks) or attention_mask is not None
        refuse_old(self.origin, layer.owner, op, limited)
        dtype = op.dtype or dtype_name(layer.config.get("dtype"))
        refuse_weighted_padding(layer.owner, op, masks[1] is not None or attention_mask is not None, dtype)
        values = [name] if op.output_count == 1 else [f"{name}:{n}" for n in range(op.output_count)]
        inputs = tuple(tensor.value for tensor in tensors)
        if attention_mask is None:
            self.builder.add(Node(name, op, inputs, tuple(values), tuple(masks)))
        else:
            self.builder.add(Node(name, op, (*inputs, attention_mask), tuple(values), (*masks, None)))
        output_masks = reader.masks(op, name, inputs, given)
        if call.attention_mask is not None and op.output_count > 1:
            output_masks = [output_masks[0], OfScores(name)]
        if call.ends_masks and self.origin.generation == 3:
            for tensor in tensors:
                tensor.lose_mask()
        return [KerasTensor(value, part) for value, part in zip(values, output_masks, strict=True)]

    def _attention_mask(
        self, layer: Layer, name: str, call: AttentionCall, masks: Sequence[Mask | None]
    ) -> tuple[Sequence[Mask | None], str | None]:
        """The masks that count for each sequence, and the value of the attention mask beside them.

        One that is the mask of queries or of values, with an axis more, is that mask again.

        Raises:
            UnsupportedError: it is no tensor of booleans.
        """
        if call.attention_mask is None:
            return self._in_place_of_values(layer, call, masks)
        symbol = self.builder.symbol(call.attention_mask)
        match symbol:
            case Unreadable(problem):
                raise problem
            case Wide(mask):
                return [_joined(masks[0], mask, name), *masks[1:]], None
            case OfEveryQuery(mask):
                return [masks[0], _joined(masks[1], mask, name), *masks[2:]], None
            case Data(value, tensor) if tensor.dtype == "bool":
                return masks, value
            case Data(value) if layer.class_name == "MultiHeadAttention" and self.origin.generation == 3:
                # Keras casts what is no boolean (multi_head_attention.py of 3.15, _compute_attention_mask).
                cast = self.builder.free_name(f"{name}.attention_mask")
                self.builder.add_operation(Node(cast, ops.Cast(output_dtype="bool"), (value,)))
                return masks, cast
            case Data(_, tensor):
                raise UnsupportedError(layer.owner, "call argument attention_mask", str(tensor), "bool")
        supported = "a tensor of booleans, (N, S, T), such as an input of the model"
        raise UnsupportedError(layer.owner, "call argument attention_mask", "a constant", supported)

    def _in_place_of_values(
        self, layer: Layer, call: AttentionCall, masks: Sequence[Mask | None]
    ) -> tuple[Sequence[Mask | None], str | None]:
        """The same for an attention of one head, which may be given ``(N, S, T)`` as the mask of its values.

        Raises:
            UnsupportedError: it is causal too, which Keras cannot bring together.
        """
        mask = masks[1]
        if not isinstance(mask, Given) or len(self.builder.mask_shape(mask)) != 3:
            return masks, None
        if call.settings["causal"]:
            supported = "masks (N, T) where it is causal"
            raise UnsupportedError(layer.owner, "call argument mask", "of (N, S, T)", supported)
        return [masks[0], None, *masks[2:]], mask.value

    def _with_settings(self, op: ops.Op, settings: Mapping[str, bool]) -> ops.Op:
        """The op as a call sets it, the same for all calls that set it so."""
        if all(getattr(op, name) == value for name, value in settings.items()):
            return op
        key = id(op), tuple(sorted(settings.items()))
        return self._set.setdefault(key, dataclasses.replace(op, **settings))  # type: ignore[type-var]

    def _cell(
        self, layer: Layer, name: str, tensors: Sequence[KerasTensor], states: Sequence[KerasTensor]
    ) -> list[KerasTensor]:
        """A cell used as a layer, for one step: its op over a sequence of one."""
        cell = layer.read(CELL_READERS.lookup(layer.class_name, layer.owner))
        assert isinstance(cell, ops.Cell)
        self._check_training(layer, cell)
        if id(cell) not in self._steps:
            self._steps[id(cell)] = dataclasses.replace(cell, return_state=True)
        op = self._steps[id(cell)]
        sequence = f"{name}.step"
        self.builder.add(Node(sequence, ops.RepeatVector(n=1), (tensors[0].value,)))
        values = tuple(f"{name}:{position}" for position in range(op.output_count))
        self.builder.add(Node(name, op, (sequence, *(state.value for state in states)), values))
        return [KerasTensor(value) for value in values]


def _gives_sequences(op: ops.Op) -> TypeGuard[ops.Bidirectional]:
    return isinstance(op, ops.Bidirectional) and op.forward.return_sequences


def _joined(one: Mask | None, other: Mask, name: str) -> Mask:
    return other if one is None else all_of([one, other], f"{name}_mask")


def _counts(mask: Mask | None) -> TypeGuard[Mask]:
    """Whether a mask may mask anything."""
    return mask is not None and not isinstance(mask, Full)

"""A live Keras model as plain data."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from biport.errors import InputError, UnsupportedError, WeightError
from keras_side import registered
from keras_side.policies import COARSE
from keras_side.records import check_order


@dataclass(frozen=True)
class LiveVariables:
    """The weights of a live layer or model.

    Args:
        source: the Keras object: a layer or a model.
        owner: how errors call it.
        instead: arrays to be read in place of variables, by the identity of these.
    """

    source: Any
    owner: str
    instead: Mapping[int, np.ndarray] = field(default_factory=dict)

    def take(self, names: Sequence[str], unread: Sequence[str] = ()) -> dict[str, np.ndarray]:
        """The layer's own variables as arrays of their own; see `records.Variables.take`."""
        own = {variable.name: variable for variable in self.source.weights}
        variables = {name: own.get(name, getattr(self.source, name, None)) for name in names}
        missing = [name for name, variable in variables.items() if variable is None]
        if missing:
            raise WeightError(f"{self.owner}: weights missing: {missing}; build the model before reading it")
        expected = len(names) + len(unread)
        if len(self.source.weights) != expected:
            raise WeightError(f"{self.owner}: {expected} weights expected, found {len(self.source.weights)}")
        return {name: self._array(variable) for name, variable in variables.items()}

    def _array(self, variable: Any) -> np.ndarray:
        array = self.instead.get(id(variable))
        array = np.array(_numpy(variable) if array is None else array)
        return array.astype("float32") if array.dtype.name in COARSE else array

    def own(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """The layer's own variables, without those of layers inside; see `records.Variables.own`."""
        # The order in which Keras saves them (keras/src/layers/layer.py of 3.15, ``save_own_variables``).
        variables = [*self.source._trainable_variables, *self.source._non_trainable_variables]
        check_order(self.owner, names, [variable.name for variable in variables])
        return {name: self._array(variable) for name, variable in zip(names, variables, strict=True)}

    def vocabulary(self, given: Sequence[Any] | None, special: Sequence[Any]) -> Sequence[Any]:
        """Those it looks up now, whatever it was made with; see `records.Variables.vocabulary`.

        Raises:
            InputError: it has none yet.
            UnsupportedError: a token is no text in UTF-8.
        """
        table = getattr(self.source, "_lookup_layer", self.source).lookup_table
        if not int(table.size()):
            raise InputError(f"{self.owner}: has no vocabulary yet; adapt it, or give it one")
        keys, ids = (part.numpy() for part in table.export())
        try:
            return [key.decode() if isinstance(key, bytes) else int(key) for key in keys[ids.argsort()]]
        except UnicodeDecodeError as error:
            raise UnsupportedError(self.owner, "vocabulary", str(error), "tokens in UTF-8") from error

    def own_array(self, name: str) -> np.ndarray | None:
        """The array that the layer, or the lookup inside it, would be saved with under a name of its own."""
        store: dict[str, Any] = {}
        self.source.save_own_variables(store)
        return None if name not in store else np.asarray(store[name])

    def child(self, attribute: str) -> LiveVariables:
        """The variables of the layer that is the attribute ``attribute``."""
        return replace(self, source=getattr(self.source, attribute), owner=f"{self.owner}: {attribute}")

    def item(self, container: str, index: int, key: str) -> LiveVariables:
        """The variables of the ``index``-th layer of the list ``container``."""
        return replace(self, source=getattr(self.source, container)[index], owner=f"{self.owner}: {key}")

    def layer(self, index: int, key: str, name: str) -> LiveVariables:
        """The variables of the model's ``index``-th layer."""
        return self.item("layers", index, key)

    def count(self) -> int:
        """How many numbers the layer has."""
        return self.source.count_params()


def _numpy(variable: Any) -> np.ndarray:
    return sys.modules["keras"].ops.convert_to_numpy(variable)


def is_live(source: object) -> bool:
    """Whether ``source`` is a model of a Keras that somebody has imported."""
    keras = sys.modules.get("keras")
    return keras is not None and hasattr(keras, "Model") and isinstance(source, keras.Model)


def describe(model: Any, owner: str) -> Mapping[str, Any]:
    """Serialised configuration of a live model.

    Raises:
        InputError: the model has not been built.
        UnsupportedError: it holds a layer that cannot be serialised, or computes something else than it says.
    """
    if not model.built or (type(model) is sys.modules["keras"].Sequential and not model.inputs):
        raise InputError(f"{owner}: has no weights yet; call model.build(input_shape) before reading it")
    try:
        data = json.loads(model.to_json())
    except (NotImplementedError, TypeError, ValueError) as error:
        raise UnsupportedError(owner, "configuration", reason(error), "layers Keras can serialise") from error
    for layer in model._flatten_layers(include_self=False):
        check_live(f"{owner}: layer {layer.name!r}", layer)
    return data


def plain_data(owner: str, layer: Any, kind: type | None = None) -> dict[str, Any]:
    """A layer as plain data, as Keras serialises it.

    Args:
        owner: how errors call it.
        layer: live.
        kind: the class it is read as, where it is made of that one and computes the same.

    Raises:
        UnsupportedError: it cannot be serialised.
    """
    try:
        if kind is None:
            return json.loads(json.dumps(sys.modules["keras"].saving.serialize_keras_object(layer)))
        return {"class_name": kind.__name__, "config": json.loads(json.dumps(kind.get_config(layer)))}
    except (NotImplementedError, TypeError, ValueError) as error:
        raise UnsupportedError(owner, "configuration", reason(error), "layers Keras can serialise") from error


def reason(error: Exception) -> str:
    """The first line of what an error says, some begin with an empty one; its kind where it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def check_live(owner: str, layer: Any) -> None:
    """Refuse a layer that computes something else than what its configuration says.

    Raises:
        UnsupportedError: it is one.
    """
    _check_class(owner, type(layer))
    for key in ("activation", "recurrent_activation"):
        _check_function(owner, key, getattr(layer, key, None))
    if type(layer) is sys.modules["keras"].layers.Normalization:
        _check_statistics(owner, layer)
    if type(layer) is sys.modules["keras"].layers.Rescaling:
        _check_scalars(owner, layer)


def _check_class(owner: str, layer_class: type) -> None:
    """Refuse somebody else's layer that is registered under the name of one of biport's.

    Raises:
        UnsupportedError: it is one.
    """
    name = sys.modules["keras"].saving.get_registered_name(layer_class)
    if name in registered.LAYERS and layer_class.__module__ != "keras_side.layers":
        raise UnsupportedError(owner, "class", f"{layer_class.__module__}.{name}", "biport's own layer")


def _check_statistics(owner: str, layer: Any) -> None:
    """Refuse a Normalization that computes with other statistics than it would be saved with.

    It has copies of what it was given or adapted to, which do not follow where a weight is assigned; and in
    float64 those of an array, which a file keeps as numbers that become float32.

    Raises:
        UnsupportedError: it does.
    """
    for name in ("mean", "variance"):
        given, used = getattr(layer, f"input_{name}"), getattr(layer, name)
        if used is None:
            continue
        used = _numpy(used)
        if given is None:
            same = np.array_equal(used.ravel(), _numpy(getattr(layer, f"adapt_{name}")).ravel())
        else:
            same = np.isin(used, np.asarray(given, "float32").astype(used.dtype)).all()
        if not same:
            supported = (
                "what it is saved with: finalize_state() after weights are set, lists in place of arrays"
            )
            raise UnsupportedError(owner, name, "not what it is saved with", supported)


def _check_scalars(owner: str, layer: Any) -> None:
    """Refuse a Rescaling by a number of NumPy's that a file keeps as one that becomes float32.

    Raises:
        UnsupportedError: it is one.
    """
    for name in ("scale", "offset"):
        number = getattr(layer, name)
        scalar = isinstance(number, np.ndarray | np.generic) and np.ndim(number) == 0
        if scalar and layer.compute_dtype == "float64" and np.float32(number) != number:
            raise UnsupportedError(owner, name, f"{number} of NumPy's float64", "a number of Python's")


def _check_function(owner: str, key: str, function: Any) -> None:
    """Refuse a function that Keras writes down under the name of one of its own, and that is another.

    ``keras.ops.gelu`` is such a one, by default approximate, and so is any function called ``relu``.

    Raises:
        UnsupportedError: it computes something else than the activation of its name.
    """
    own = _namesake(function)
    if own is not None and not computes_the_same(function, own):
        value = f"{function.__name__} of {function.__module__}"
        raise UnsupportedError(owner, key, value, "Keras' own activations")


def is_as_named(function: Any) -> bool:
    """Whether a function is what Keras knows under its name, or computes the same."""
    own = _namesake(function)
    return own is not None and computes_the_same(function, own)


def _namesake(function: Any) -> Any:
    """The activation of Keras' own that has the name of a function; ``None`` where there is none."""
    name = getattr(function, "__name__", None)
    return getattr(sys.modules["keras"].activations, name, None) if isinstance(name, str) else None


def computes_the_same(function: Any, own: Any) -> bool:
    """Whether a function gives what an activation of Keras' own does, over a few numbers."""
    if function is own:
        return True
    keras = sys.modules["keras"]
    points = np.linspace(-8, 8, 34, dtype="float32").reshape(2, 17)
    try:
        values = _numpy(function(keras.ops.convert_to_tensor(points)))
    except Exception:  # A user's function may fail in any way.
        return False
    wanted = _numpy(own(keras.ops.convert_to_tensor(points)))
    return values.shape == wanted.shape and np.allclose(values, wanted, rtol=1e-6, atol=1e-6)

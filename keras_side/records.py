"""A Keras layer as plain data: the same for a live layer and for one in a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from biport.config import Config
from biport.dims import Dim
from biport.errors import FileError, UnsupportedError, WeightError, shown
from biport.graph import Graph
from keras_side import registered
from keras_side.code_needed import foreign_class
from keras_side.policies import NOT_ADAPTED, NOT_QUANTISED, check_policy

OF_WEIGHTS = tuple(
    f"{weight}_{kind}"
    for weight in (
        *("kernel", "depthwise", "pointwise", "recurrent", "bias", "embeddings", "gamma", "beta", "alpha"),
    )
    for kind in ("initializer", "regularizer", "constraint")
)
"""Settings that say how weights begin and are trained."""

# What these say matters while a model is trained or first built, never at inference; what of it travels is
# known to `keras_side.shared.learning`.
TRAINING_ONLY = (
    "name",
    "trainable",
    # Whether inputs of another float dtype are cast: a graph has one.
    "autocast",
    "activity_regularizer",
    *OF_WEIGHTS,
)


MODELS = ("Functional", "Model", "Sequential")
"""Classes that are models, by the names of any Keras."""

MAX_PARTS = 50_000
"""Layers, calls and their arguments; those of a model inside another counted whenever it is called."""
MAX_NAME = 10_000
"""Characters of a layer's name, those of the models around it included."""


def check_parts(owner: str, parts: int) -> None:
    """Refuse what is no model's size.

    Raises:
        FileError: there are more than `MAX_PARTS`.
    """
    if parts > MAX_PARTS:
        raise FileError(f"{owner}: more than {MAX_PARTS} layers, calls and arguments")


class Variables(Protocol):
    """Where the weights of a layer come from: a live layer, or a group of a weights file."""

    def take(self, names: Sequence[str], unread: Sequence[str] = ()) -> dict[str, np.ndarray]:
        """The layer's own variables, which must be exactly ``names`` and then ``unread``, in that order.

        Those that are ``unread`` may be anything.
        """
        ...

    def own(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """All variables of a layer of somebody's own, in the order that Keras lists them, under these names.

        Raises:
            WeightError: there are more or fewer, or they are known by these names in another order.
        """
        ...

    def vocabulary(self, given: Sequence[Any] | None, special: Sequence[Any]) -> Sequence[Any]:
        """The tokens that the layer looks up, without those for masks and unknown ones.

        Args:
            given: what the configuration says of them.
            special: those that may stand in front of them.

        Raises:
            UnsupportedError: they are not kept there.
        """
        ...

    def own_array(self, name: str) -> np.ndarray | None:
        """What the layer keeps under a name of its own, beside its variables; ``None`` for nothing."""
        ...

    def child(self, attribute: str) -> Variables:
        """The variables of the layer that is the attribute ``attribute``."""
        ...

    def item(self, container: str, index: int, key: str) -> Variables:
        """The variables of the ``index``-th layer in the list ``container``, stored under ``key``."""
        ...

    def layer(self, index: int, key: str, name: str) -> Variables:
        """The variables of a model's layer: by its index in the model, its key in a file, or its name."""
        ...

    def count(self) -> int:
        """How many numbers there are of the layer and the layers inside it, whatever they are."""
        ...


@dataclass(frozen=True)
class RecordedVariables:
    """The weights of a model that no file describes, by the names of its layers; see `Variables`."""

    owner: str
    of: Mapping[str, Variables]

    def take(self, names: Sequence[str], unread: Sequence[str] = ()) -> dict[str, np.ndarray]:
        """Nothing: a model has no variables but those of its layers."""
        assert not names
        return {}

    def own(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Nothing, as of `take`."""
        return self.take(names)

    def vocabulary(self, given: Sequence[Any] | None, special: Sequence[Any]) -> Sequence[Any]:
        """None."""
        raise AssertionError("a model has no vocabulary")

    def own_array(self, name: str) -> np.ndarray | None:
        """Nothing: it has no arrays beside variables."""
        return None

    def child(self, attribute: str) -> Variables:
        """None: its layers are listed."""
        raise AssertionError(f"a model has no {attribute}")

    def item(self, container: str, index: int, key: str) -> Variables:
        """None: its layers are known by name."""
        raise AssertionError(f"a model has no {container}[{index}]")

    def layer(self, index: int, key: str, name: str) -> Variables:
        """The variables of an entry; itself for one without."""
        return self.of.get(name, self)

    def count(self) -> int:
        """How many numbers there are."""
        return sum(variables.count() for variables in self.of.values())


ModelReader = Callable[[Mapping[str, Any], Variables, str], Graph]
"""``(serialised model, its variables, how errors call it) -> its graph``."""


@dataclass(frozen=True)
class LayerRecord:
    """One layer.

    Args:
        class_name: ``"LSTM"``.
        name: the layer's own name.
        config: its configuration as Keras serialises it.
        variables: where its weights are.
        owner: how errors call it: ``model.keras: layer 'bi' (Bidirectional)``.
        input_shape: what the layer was built for, ``None`` for sizes that vary; empty where nobody says.
        reads_model: reads a model inside of the layer; ``None`` where nothing does.
    """

    class_name: str
    name: str
    config: Mapping[str, Any]
    variables: Variables
    owner: str
    input_shape: Sequence[int | None] = ()
    reads_model: ModelReader | None = None

    def settings(self) -> Config:
        """The configuration to be accounted for, with what every layer has already accounted for."""
        config = Config(self.owner, self.config)
        check_policy(self.owner, config.take("dtype", default="float32"))
        for key, instead in (("quantization_config", NOT_QUANTISED), ("lora_rank", NOT_ADAPTED)):
            if (value := config.take(key, default=None)) is not None:
                config.refuse(key, value, instead)
        config.ignore("lora_alpha", *TRAINING_ONLY)
        return config

    def child(self, attribute: str, data: Mapping[str, Any]) -> LayerRecord:
        """The layer that is the attribute ``attribute``, which the configuration describes by ``data``."""
        class_name, config = serialized(self.owner, data)
        return LayerRecord(
            class_name=class_name,
            name=str(config.get("name", attribute)),
            config=config,
            variables=self.variables.child(attribute),
            owner=f"{self.owner}: {attribute} ({class_name})",
            reads_model=self.reads_model,
        )

    def model(self, attribute: str, data: Mapping[str, Any]) -> Graph:
        """The model that is the attribute ``attribute``, as a graph of its own.

        Raises:
            UnsupportedError: it cannot be read, or the layer was taken out of the model that it is in.
        """
        if self.reads_model is None:
            raise UnsupportedError(self.owner, attribute, "a model", "layers that are read with their model")
        return self.reads_model(data, self.variables.child(attribute), f"{self.owner}: {attribute}")

    def item(self, container: str, index: int, key: str, data: object) -> LayerRecord:
        """The ``index``-th layer in the list ``container``, stored under ``key``."""
        class_name, config = serialized(self.owner, data)
        return LayerRecord(
            class_name=class_name,
            name=str(config.get("name", key)),
            config=config,
            variables=self.variables.item(container, index, key),
            owner=f"{self.owner}: {container}[{index}] ({class_name})",
            reads_model=self.reads_model,
        )


@dataclass(frozen=True)
class WrittenLayer:
    """What it takes to make a live layer: ``keras.layers.<class_name>``, its settings and weights.

    With ``takes_list`` the layer is called with one list of inputs. A layer of several cells takes its
    initial states in lists of ``state_groups`` states. One that steps with a model is made around it, and has
    the weights of the layers ``inside``, by their names in that model.
    """

    class_name: str
    config: Mapping[str, Any]
    weights: Sequence[np.ndarray] = ()
    state_groups: Sequence[int] = ()
    takes_list: bool = False
    inside: Mapping[str, WrittenLayer] = field(default_factory=dict)

    @property
    def has_weights(self) -> bool:
        """Whether it or a layer inside has any."""
        return bool(self.weights) or any(layer.has_weights for layer in self.inside.values())

    def serialised(self, name: str | None = None) -> dict[str, Any]:
        """The layer as Keras stores it inside another."""
        return {
            "module": "keras.layers",
            "class_name": self.class_name,
            "config": dict(self.config) | ({} if name is None else {"name": name}),
            "registered_name": None,
        }


@dataclass(frozen=True)
class WrittenOperation:
    """What is no layer but functions of ``keras.ops``.

    Args:
        apply: called with the module ``keras``, which nothing that reads files imports, and a Keras tensor
            for each input, or a Python number for one that is a constant; gives the output, or a list of
            them. Where there are ``dims``, it is called with the keyword ``dims`` too: a number for each, or
            a scalar tensor for one that varies.
        dims: the sizes it needs, see `biport.dims`.
    """

    apply: Callable[..., Any]
    dims: Sequence[Dim] = ()


def check_order(owner: str, names: Sequence[str], known: Sequence[str]) -> None:
    """Refuse names for variables that are known by other names, or in another order.

    Raises:
        WeightError: there are more or fewer, or one of the names is that of another one.
    """
    swapped = any(
        name != own and (name in known or own in names) for name, own in zip(names, known, strict=False)
    )
    if len(names) != len(known) or swapped:
        raise WeightError(f"{owner}: its weights are {list(known)} in this order, read as {list(names)}")


def without_special(tokens: Sequence[Any], special: Sequence[Any]) -> Sequence[Any]:
    """The tokens without those that a vocabulary may have in front, mask and all."""
    return tokens[len(special) :] if list(tokens[: len(special)]) == list(special) else tokens


def layer_name(name: str) -> str:
    """What a layer of Keras can be called, which separates paths by slashes."""
    return name.replace("/", "_")


def no_vocabulary(owner: str) -> UnsupportedError:
    """Why a vocabulary that a layer was adapted to is not there."""
    supported = "one given to the layer, vocabulary=layer.get_vocabulary(), or a .keras file"
    return UnsupportedError(owner, "vocabulary", "adapted, in HDF5", supported)


def input_size(kernel: np.ndarray) -> int:
    """I of a kernel ``(I, ...)``.

    Raises:
        WeightError: it is no matrix.
    """
    if kernel.ndim != 2:
        raise WeightError(f"kernel should be a matrix, found shape {kernel.shape}")
    return kernel.shape[0]


def present(*arrays: np.ndarray | None) -> list[np.ndarray]:
    """Those that are there."""
    return [array for array in arrays if array is not None]


def check_name(owner: str, name: object) -> None:
    """Refuse what cannot be the name of a layer or its class.

    Raises:
        FileError: it is no text, is longer than any name, or has characters that do not show.
    """
    if not isinstance(name, str) or not name.isprintable() or len(name) > MAX_NAME:
        raise FileError(
            f"{owner}: a name should be text of at most {MAX_NAME} characters that show, found {shown(name)}"
        )


def described(owner: str, data: object) -> tuple[str, Mapping[str, Any]]:
    """Class name and configuration of a serialised object, whosever class it is.

    Raises:
        FileError: it does not have the form Keras gives one.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("class_name"), str):
        raise FileError(f"{owner}: expected a serialised layer, found {str(data)[:80]!r}")
    check_name(owner, data["class_name"])
    config = data.get("config")
    if not isinstance(config, Mapping):
        raise FileError(f"{owner}: {data['class_name']} has no configuration")
    return data["class_name"], config


def serialized(owner: str, data: object) -> tuple[str, Mapping[str, Any]]:
    """Class name and configuration of a serialised Keras object.

    Raises:
        FileError: it does not have the form Keras gives one.
        UnsupportedError: its class is neither one of Keras' own nor of `keras_side.registered`.
    """
    _, config = described(owner, data)
    assert isinstance(data, Mapping)
    module = str(data.get("module") or "keras")
    own = registered.LAYERS.get(str(data.get("registered_name"))) == data["class_name"]
    foreign = module.split(".")[0] != "keras" or ">" in str(data.get("registered_name") or "")
    if not own and (foreign or data["class_name"] in registered.LAYERS.values()):
        raise foreign_class(owner, data)
    return data["class_name"], config

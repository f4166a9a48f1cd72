"""A Keras model in training; its twin is ``torch_side/train.py``: same names, same numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from biport.decoding import Stepper
from biport.errors import UnsupportedError, WeightError
from biport.files import atomic_file
from biport.graph import Graph
from biport.training.optimizers import SGD, Adam, Optimizer, RMSprop
from biport.training.trainer import CLIP, Batch, State, Sums
from keras_side.decode import stepper
from keras_side.load import load
from keras_side.read import read
from keras_side.require import require_keras

if TYPE_CHECKING:
    import keras


def build(family: str, settings: Mapping[str, Any], dtype: str, seed: int) -> keras.Model:
    """A new model of one of `keras_side.models`, its weights drawn from ``seed``."""
    require_keras()
    import keras

    from keras_side.models.attentive_sentiment import attentive_sentiment
    from keras_side.models.sentiment import sentiment
    from keras_side.models.seq2seq import seq2seq
    from keras_side.models.tagger import tagger

    builders = {builder.__name__: builder for builder in (attentive_sentiment, sentiment, seq2seq, tagger)}
    keras.utils.set_random_seed(seed)
    with precision(dtype):
        return builders[family](**settings)


@contextlib.contextmanager
def precision(dtype: str) -> Iterator[None]:
    """Let Keras make layers, and numbers on the way, in ``dtype``."""
    import keras

    # Not the policy's name: a policy made by name follows floatx itself.
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


class Trainer:
    """`biport.training.trainer.Trainer` over a Keras model with the tensorflow backend, on the CPU.

    A step is traced once for batches of any size and length: on a CPU a masked layer is a loop.

    Args:
        model: gives one output of probabilities, (B, ..., C); its weights are changed in place.
        optimizer: the settings of one.
        clip_norm: the norm of all gradients above which they are scaled down; ``None`` for none.

    Raises:
        UnsupportedError: Keras runs with another backend.
    """

    def __init__(self, model: keras.Model, optimizer: Optimizer, clip_norm: float | None = None) -> None:
        import keras
        import tensorflow as tf

        if keras.backend.backend() != "tensorflow":
            raise UnsupportedError("training in Keras", "backend", keras.backend.backend(), "tensorflow")
        self.model = model
        self.clip_norm = clip_norm
        self.dtype = model.outputs[0].dtype
        with precision(self.dtype):
            self.optimizer = _make(optimizer, self.dtype)
            self.optimizer.build(model.trainable_variables)
        inputs = tuple(tf.TensorSpec(value.shape, value.dtype) for value in model.inputs)
        steps = model.outputs[0].shape[:-1]
        signature = inputs, tf.TensorSpec(steps, "int32"), tf.TensorSpec(steps, self.dtype)
        self._stepped = tf.function(self._step, signature)
        self._evaluated = tf.function(self._evaluate, signature)
        self._predicted = tf.function(self._predict, (inputs,))

    def step(self, batch: Batch, rate: float) -> Sums:
        """Train on one batch with a learning rate; its sums are those before the weights change."""
        self.optimizer.learning_rate = rate
        return _sums(self._stepped(*self._tensors(batch)))

    def evaluate(self, batch: Batch) -> Sums:
        """The sums of one batch, without training."""
        return _sums(self._evaluated(*self._tensors(batch)))

    def predict(self, inputs: tuple[NDArray, ...]) -> NDArray:
        """The model's probabilities, (B, ..., C)."""
        return self._predicted(tuple(map(self._array, inputs))).numpy()

    def _tensors(self, batch: Batch) -> tuple[Any, ...]:
        return tuple(map(self._array, batch.inputs)), batch.truth, self._array(batch.weight)

    def _array(self, array: NDArray) -> NDArray:
        return array.astype(self.dtype) if array.dtype.kind == "f" else array

    def _step(self, inputs: Any, truth: Any, weight: Any) -> Any:
        import tensorflow as tf

        variables = self.model.trainable_variables
        with self._setting():
            with tf.GradientTape() as tape:
                loss, right, count = self._totals(self._forward(inputs, True), truth, weight)
                mean = loss / tf.maximum(count, 1)
            values: Any = [variable.value for variable in variables]
            slopes = tape.gradient(mean, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            # Those of an embedding come as rows, in which an id that occurs twice has two.
            gradients = [tf.convert_to_tensor(gradient) for gradient in slopes]
            if self.clip_norm is not None:
                norm = tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(gradient)) for gradient in gradients]))
                scale = self.clip_norm / tf.maximum(norm, self.clip_norm)
                gradients = [gradient * scale for gradient in gradients]
            self.optimizer.apply(gradients, variables)
        return loss, right, count

    def _evaluate(self, inputs: Any, truth: Any, weight: Any) -> Any:
        with self._setting():
            return self._totals(self._forward(inputs, False), truth, weight)

    def _predict(self, inputs: Any) -> Any:
        with self._setting():
            return self._forward(inputs, False)

    @contextlib.contextmanager
    def _setting(self) -> Iterator[None]:
        import keras

        # On a GPU, cuDNN refuses masks other than padding on the right.
        with precision(self.dtype), keras.device("cpu:0"):
            yield

    def _forward(self, inputs: Any, training: bool) -> Any:
        return self.model(inputs if len(inputs) > 1 else inputs[0], training=training)

    def _totals(self, p: Any, truth: Any, weight: Any) -> tuple[Any, Any, Any]:
        import tensorflow as tf

        clipped: Any = tf.clip_by_value(p, CLIP, 1 - CLIP)
        if p.shape[-1] == 1:
            of_truth = tf.where(truth == 1, clipped[..., 0], 1 - clipped[..., 0])
            answer = tf.cast(p[..., 0] > 0.5, "int32")
        else:
            of_truth = tf.reduce_sum(clipped * tf.one_hot(truth, p.shape[-1], dtype=p.dtype), -1)
            answer = tf.argmax(p, -1, output_type="int32")
        loss = tf.reduce_sum(-tf.math.log(of_truth) * weight)
        right = tf.reduce_sum(tf.cast(answer == truth, p.dtype) * weight)
        return loss, right, tf.reduce_sum(weight)

    def _variables(self) -> dict[str, Any]:
        # The state of dropout's random generators is among the model's variables.
        model = {f"model/{number}": variable for number, variable in enumerate(self.model.variables)}
        slots = enumerate(self.optimizer.variables)
        return model | {f"optimizer/{number}": variable for number, variable in slots}

    def state(self) -> State:
        """Weights, slots of the optimiser and the generators of dropout, as copies."""
        return {name: np.array(variable.numpy()) for name, variable in self._variables().items()}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Go back to a `state`.

        Raises:
            WeightError: it is that of another model.
        """
        variables = self._variables()
        shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
        given = {name: array.shape for name, array in state.items()}
        if shapes != given:
            differing = sorted(name for name in shapes | given if shapes.get(name) != given.get(name))
            raise WeightError(f"the state of another model: {', '.join(differing)}")
        for name, variable in variables.items():
            variable.assign(state[name])

    def graph(self) -> Graph:
        """The model as it is now."""
        return read(self.model)

    def load(self, graph: Graph) -> None:
        """Fill the model with a graph's weights, by name, two biases that act as one added up.

        Raises:
            WeightError: they do not suit it.
        """
        load(self.model, graph)

    def stepper(self) -> Stepper:
        """The model of a sequence-to-sequence task as it is now, for `biport.decoding`."""
        return stepper(self.model)

    def save(self, folder: Path) -> None:
        """Write ``model.keras``."""
        with atomic_file(folder / "model.keras") as draft:
            self.model.save(draft)


def _make(settings: Optimizer, dtype: str) -> Any:
    from keras import optimizers

    # Keras casts Python's floats to float32 on their way to float64; NumPy's it takes as they are.
    exact = np.float64 if dtype == "float64" else float
    # The rate is set before each step; this one is never used.
    match settings:
        case SGD(momentum=momentum, nesterov=nesterov):
            return optimizers.SGD(1.0, exact(momentum), nesterov)
        case Adam(beta_1=beta_1, beta_2=beta_2, epsilon=epsilon):
            return optimizers.Adam(1.0, exact(beta_1), exact(beta_2), exact(epsilon))
        case RMSprop(rho=rho, epsilon=epsilon):
            return optimizers.RMSprop(1.0, exact(rho), epsilon=exact(epsilon))


def _sums(totals: Any) -> Sums:
    return Sums(*(float(total) for total in totals))

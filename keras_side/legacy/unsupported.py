"""What old releases of Keras compute in a way that no graph has: refused by name."""

from __future__ import annotations

from biport import ops
from biport.errors import UnsupportedError
from biport.ops import Op
from keras_side.release import Release


def refuse_other_meaning(origin: Release, owner: str, op: Op, masked: bool, states: bool) -> None:
    """Refuse a call of a layer that meant something else when it was saved.

    Args:
        origin: the Keras that wrote the model.
        owner: the layer, for errors.
        op: what it is read as.
        masked: whether it gets a mask.
        states: whether it is called with an initial state.

    Raises:
        UnsupportedError: this is such a call.
    """
    if origin.generation < 3 and masked and isinstance(op, ops.GroupNormalization):
        # keras/layers/normalization/group_normalization.py of 2.15: the mask weighs the elements.
        supported = "an input without a mask, for models of Keras 2"
        raise UnsupportedError(owner, "mask", "over a GroupNormalization", supported)
    if not origin.standalone or not origin.before(2, 3):
        return
    if masked and states and _gives_sequences(op):
        # keras/backend/tensorflow_backend.py of 2.2.4, ``rnn``: ``states[0]`` where others have zeros.
        supported = "no mask, no initial state, or the last step alone, for models of Keras before 2.3"
        raise UnsupportedError(owner, "initial_state", "under a mask, for sequences", supported)
    if not isinstance(op, ops.StackedRNN):
        return
    if masked and not origin.before(2, 2, 3):
        # The same line: there ``states[0]`` is the first cell's, and the output the last one's.
        supported = "an input without a mask, for models of Keras 2.2.3 and 2.2.4"
        raise UnsupportedError(owner, "mask", "over StackedRNNCells", supported)
    if origin.before(2, 2, 3) and (states or op.return_state):
        # keras/layers/recurrent.py of 2.1.6, ``StackedRNNCells.state_size``: the last cell's come first.
        supported = "no states in or out, for models of Keras before 2.2.3, whose order was another"
        raise UnsupportedError(owner, "states", "of StackedRNNCells", supported)


def _gives_sequences(op: Op) -> bool:
    directions = (op.forward, op.backward) if isinstance(op, ops.Bidirectional) else (op,)
    return any(isinstance(part, ops.Recurrent) and part.return_sequences for part in directions)

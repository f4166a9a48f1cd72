"""Stateful layers: what is read of the states that they keep from call to call."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from biport import ops
from biport.errors import Argument, InputError, UnsupportedError
from biport.rewrite.states import FORWARD
from keras_side.shared.recurrent import OF_STEPS, KeptStates

EVERY_STEP = "TimeDistributed"
ONE_CALL = "a stateful layer that is called once: another call goes on from the states of the one before"


def kept_states(states: object) -> KeptStates | None:
    """What somebody said is to become of states.

    Raises:
        InputError: it is neither of the two.
    """
    choices = [None, *KeptStates]
    if states not in choices:
        raise InputError(Argument("states", states), f": should be one of {', '.join(KeptStates)}")
    return None if states is None else KeptStates(str(states))


@contextlib.contextmanager
def offering_states(chosen: KeptStates | None) -> Iterator[None]:
    """Have the refusal of a stateful layer say what it can be read as, where nobody has chosen."""
    try:
        yield
    except UnsupportedError as problem:
        if chosen is None and any(reason["setting"] == "stateful" for reason in problem.reasons()):
            explicit, zero = (Argument("states", str(choice)) for choice in KeptStates)
            offers = " reads states as inputs and outputs, ", " as zeros at the start of each call"
            problem.advise(explicit, offers[0], zero, offers[1])
        raise


def stateful_notes(data: Any, kept: KeptStates | None) -> list[str]:
    """What somebody should know of a model whose states were read as chosen."""
    if kept is None:
        return []
    if with_kept_states(data, kept) is data:
        return ["no layer is stateful: each call starts afresh, whatever is read of states"]
    if kept is KeptStates.ZERO:
        return ["stateful layers were read as if each call started from zeros"]
    return ["the states of stateful layers are inputs and outputs: zeros start a sequence"]


def with_kept_states(data: Any, kept: object) -> Any:
    """A configuration in which stateful layers say what becomes of their states."""
    return _with_kept(data, kept, {})


def _with_kept(data: Any, kept: object, known: dict[tuple[int, int], Any]) -> Any:
    """``known`` has what parts became: in files of old one may stand in very many places."""
    if not isinstance(data, list | Mapping):
        return data
    key = id(data), id(kept)
    if key not in known:
        known[key] = _changed(data, kept, known)
    return known[key]


def _changed(data: Any, kept: object, known: dict[tuple[int, int], Any]) -> Any:
    if isinstance(data, list):
        parts = [_with_kept(part, kept, known) for part in data]
        return parts if any(one is not other for one, other in zip(parts, data, strict=True)) else data
    if data.get("class_name") == EVERY_STEP:
        kept = OF_STEPS
    changed = {
        key: kept if key == "stateful" and part is True else _with_kept(part, kept, known)
        for key, part in data.items()
    }
    return changed if any(changed[key] is not data[key] for key in data) else data


@dataclass
class StatefulLayers:
    """The stateful layers of a model, gathered call by call."""

    nodes: list[str] = field(default_factory=list)
    """Those whose states become inputs and outputs, by the names of their nodes."""
    _called: set[int] = field(default_factory=set)

    def call(self, owner: str, config: Mapping[str, Any], node: str, op: ops.Op, given: int) -> None:
        """Take a call in.

        Args:
            owner: the layer.
            config: of the layer.
            node: what the call becomes.
            op: what the layer computes, one and the same for all its calls.
            given: how many initial states and constants the call has: given states, it reads none that were
                kept.

        Raises:
            UnsupportedError: the states do not go from one call of the model to the next, or come from its
                end.
        """
        kept = _kept(config)
        if kept is None:
            return
        if id(op) in self._called:
            raise UnsupportedError(owner, "stateful", True, ONE_CALL)
        self._called.add(id(op))
        constants = op.constant_count if isinstance(op, ops.Recurrent) else 0
        if kept is KeptStates.ZERO or given > constants:
            return
        if not isinstance(op, ops.Recurrent) or op.reverse:
            raise UnsupportedError(owner, "stateful", True, f"{FORWARD}; or states that are read as zero")
        self.nodes.append(node)


def _kept(config: Mapping[str, Any]) -> KeptStates | None:
    """What becomes of the states of a layer; of a Bidirectional those of its directions."""
    layers = [config, *(_config(config.get(name)) for name in ("layer", "backward_layer"))]
    said = (layer.get("stateful") for layer in layers)
    return next((kept for kept in said if isinstance(kept, KeptStates)), None)


def _config(data: object) -> Mapping[str, Any]:
    config = data.get("config") if isinstance(data, Mapping) else None
    return config if isinstance(config, Mapping) else {}

"""In which numbers a Keras layer computes: its dtype policy, and what of that a graph has.

A graph computes in float32 or float64. A layer in half precision keeps float32 weights and rounds what it
computes with (``mixed_float16``), or keeps weights of 16 bits, each of which is a float32 (``float16``): both
are read as what float32 computes with these weights, and it is said so.

Source:
    keras/src/dtype_policies/dtype_policy.py of 3.15.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biport.errors import UnsupportedError
from keras_side.parts import parts

COARSE = ("float16", "bfloat16")
"""Floats of 16 bits; every one of them is a float32."""
PRECISE = ("float32", "float64")
READ = (*PRECISE, *COARSE, *(f"mixed_{dtype}" for dtype in COARSE))
"""Policies whose layers are read."""

MODERN = ("DTypePolicy", "FloatDTypePolicy", "Policy", "PolicyV1")
"""Classes of a policy that is no more than its name, in any Keras."""

NOT_QUANTISED = (
    "the model as it was before quantize(), which biport export --int8 writes with weights of 8 bits"
)
NOT_ADAPTED = "the model without enable_lora(), its kernels with what was learned in them"


def check_policy(owner: str, policy: object) -> None:
    """Refuse a dtype policy other than one of `READ`, or a map of these.

    Raises:
        UnsupportedError: quantisation, or numbers that no graph has.
    """
    match policy:
        case {"class_name": "DTypePolicyMap", "config": Mapping() as config}:
            # Where a layer stands in the map is not in its configuration: all have to be read alike.
            for part in _of_map(config):
                if dtype_name(part) == "float64":
                    raise UnsupportedError(owner, "dtype", "a map with float64", "one policy for the layer")
                check_policy(owner, part)
        case {"config": {"mode": str(mode)}}:
            raise UnsupportedError(owner, "dtype", mode, NOT_QUANTISED)
        case _:
            name = dtype_name(policy)
            if isinstance(name, str) and name.endswith(READ) and "_from_" in name:
                raise UnsupportedError(owner, "dtype", name, NOT_QUANTISED)
            if name is not None and name not in READ:
                raise UnsupportedError(owner, "dtype", name, READ)


def dtype_name(policy: object) -> object:
    """The name of a plain dtype policy; any other policy as it is."""
    if not isinstance(policy, Mapping):
        return policy
    # A policy of another class, such as a quantised one, says more than a name.
    inner = policy.get("config") if policy.get("class_name") in MODERN else None
    return inner["name"] if isinstance(inner, Mapping) and inner.get("name") else policy


def _of_map(config: Mapping[str, Any]) -> list[object]:
    """The policies of a map, by whatever layer."""
    mapped = config.get("policy_map")
    return [config.get("default_policy"), *(mapped.values() if isinstance(mapped, Mapping) else ())]


def coarse_in(data: object) -> list[str]:
    """The floats of 16 bits that policies in the configuration of a model name, in their order.

    Example:
        >>> coarse_in({"layers": [{"config": {"name": "dense", "dtype": "mixed_float16"}}]})
        ['float16']
    """
    named: dict[str, None] = {}
    for item in parts(data, _is_no_operation):
        if "name" in item and "dtype" in item:
            named |= dict.fromkeys(_coarse(item["dtype"]))
    return [dtype for dtype in COARSE if dtype in named]


def _is_no_operation(item: Mapping[str, Any]) -> bool:
    """A cast says in so many words what it gives, whatever the model computes in."""
    return not str(item.get("module")).startswith("keras.src.ops")


def _coarse(policy: object) -> list[str]:
    match policy:
        case {"class_name": "DTypePolicyMap", "config": Mapping() as config}:
            return [dtype for part in _of_map(config) for dtype in _coarse(part)]
    name = dtype_name(policy)
    return [dtype for dtype in COARSE if isinstance(name, str) and name in (dtype, f"mixed_{dtype}")]


def note(dtype: str) -> str:
    """What somebody should know of a model that computes in half precision."""
    return (
        f"layers that compute in {dtype} by their dtype policies are read with their weights as float32, the "
        f"same numbers, and compute in float32: more exactly than the model does"
    )

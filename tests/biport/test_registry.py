import pytest

from biport.errors import UnsupportedError
from biport.registry import Registry, snake_case


class Base: ...


class Derived(Base): ...


def test_dispatch_is_by_exact_type() -> None:
    registry: Registry = Registry("thing")
    registry.register(Base)(lambda: "base")
    assert registry.lookup(Base, "x")() == "base"
    with pytest.raises(UnsupportedError, match="node 'x': thing='Derived' is not supported; supported: Base"):
        registry.lookup(Derived, "node 'x'")


def test_a_second_registration_is_refused() -> None:
    registry: Registry = Registry("thing")
    registry.register("a", "b")(len)
    with pytest.raises(ValueError, match="b is registered twice"):
        registry.register("b")(abs)
    assert registry.supported() == ["a", "b"]
    assert "a" in registry
    assert "c" not in registry


@pytest.mark.parametrize(
    "name, wanted",
    [
        ("LSTM", "lstm"),
        ("GlobalMaxPooling1D", "global_max_pooling1d"),
        ("SpatialDropout1D", "spatial_dropout1d"),
        ("NotEqual", "not_equal"),
        ("InputLayer", "input_layer"),
    ],
)
def test_snake_case(name: str, wanted: str) -> None:
    assert snake_case(name) == wanted

import numpy as np
import pytest

from biport.errors import WeightError
from biport.gates import split_gates, stack_gates


@pytest.mark.parametrize("order", ["ifco", "iofc", "zrh"])
@pytest.mark.parametrize("shape", [(1,), (3,), (2, 5)])
def test_split_and_stack_are_inverse(order: str, shape: tuple[int, ...]) -> None:
    stacked = np.random.default_rng(0).normal(size=(shape[0] * len(order), *shape[1:]))
    gates = split_gates(stacked, order)
    assert list(gates) == list(order)
    np.testing.assert_array_equal(stack_gates(gates, order), stacked)


def test_orders_differ_by_name_not_by_position() -> None:
    gates = split_gates(np.arange(4.0), "ifco")
    np.testing.assert_array_equal(stack_gates(gates, "iofc"), [0, 3, 1, 2])


def test_wrong_sizes_and_gates_are_refused() -> None:
    with pytest.raises(WeightError, match=r"\(7,\).*'ifco'"):
        split_gates(np.zeros(7), "ifco")
    with pytest.raises(WeightError, match="expected the gates"):
        stack_gates({"i": np.zeros(1)}, "ifco")

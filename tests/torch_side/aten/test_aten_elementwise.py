from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import torch_side
from biport.errors import UnsupportedError
from testing.expressions import SAMPLE_AND_ALL, Expressions, inputs, joined, read_expressions, some

UNARY = (
    *("abs", "neg", "exp", "expm1", "sin", "cos", "tan", "sinh", "cosh", "atan", "asinh", "floor", "ceil"),
    *("round", "trunc", "fix", "sign", "square", "erf", "isnan", "isinf", "isfinite", "logical_not"),
)
OF_POSITIVE = ("log", "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal", "acosh")
OF_INTEGERS = ("abs", "neg", "sign", "square", "floor", "exp", "isnan", "isfinite", "logical_not")

BINARY = {
    "float and int": lambda m, x, i: x + i,
    "int and number": lambda m, x, i: i * 2.5,
    "number and int": lambda m, x, i: 5 - i,
    "int divided": lambda m, x, i: i / 2,
    "true_divide": lambda m, x, i: i.true_divide(4),
    "by zero": lambda m, x, i: x / i,
    "alpha": lambda m, x, i: torch.add(x, i, alpha=3) - x.sub(x * 2, alpha=2),
    "rsub": lambda m, x, i: torch.rsub(x, i, alpha=2),
    "floor of ints": lambda m, x, i: i // 3 + (-i) // 3,
    "floor of floats": lambda m, x, i: torch.div(x, 0.75, rounding_mode="floor"),
    "truncated ints": lambda m, x, i: torch.div(i, 3, rounding_mode="trunc"),
    "truncated ints by less": lambda m, x, i: torch.div(i, -3, rounding_mode="trunc"),
    "truncated floats": lambda m, x, i: torch.div(x, 0.75, rounding_mode="trunc"),
    "remainder": lambda m, x, i: i % 3 - i % -3,
    "remainder of floats": lambda m, x, i: x % 0.75,
    "remainder of a number": lambda m, x, i: torch.remainder(7, i.abs() + 1),
    "fmod": lambda m, x, i: torch.fmod(i, 3) + torch.fmod(i, -3),
    "fmod of floats": lambda m, x, i: torch.fmod(x, 0.75),
    "atan2": lambda m, x, i: torch.atan2(x, i),
    "square": lambda m, x, i: x**2 + i**2,
    "cube": lambda m, x, i: x**3 + i**3,
    "root": lambda m, x, i: x.abs() ** 0.5 + (x.abs() + 1) ** -0.5,
    "power": lambda m, x, i: 2**x + (x.abs() + 1) ** i,
    "int to a float power": lambda m, x, i: i**2.0,
    "powers of 2": lambda m, x, i: torch.exp2(x) + torch.exp2(i),
    "rounded": lambda m, x, i: (x * 3.14159).round(decimals=1) + (x * 99).round(decimals=-1),
    "more than NaN": lambda m, x, i: torch.fmax((x - 1).log(), x) + torch.fmin(x, (x + 1).sqrt()),
    "maximum": lambda m, x, i: torch.max(x, -x) + torch.minimum(x, i),
    "sum of booleans": lambda m, x, i: (x > 0) + (i < 1),
    "product of booleans": lambda m, x, i: (x > 0) * (i < 1),
    "boolean and float": lambda m, x, i: (x > 0) * x,
    "boolean and int": lambda m, x, i: (x > 0) * 2,
    "order of booleans": lambda m, x, i: (x > 0) < (i > 0),
    "bits of booleans": lambda m, x, i: ((x > 0) & (i > 0)) | ((x < 0) ^ (i < 2)),
    "logic of numbers": lambda m, x, i: torch.logical_and(x, i) ^ i.logical_or(x > 0) ^ x.logical_xor(i),
    "comparisons": lambda m, x, i: (x > 0) ^ x.ge(0) ^ x.lt(i) ^ torch.less_equal(x, 1) ^ (x == i),
    "int and a fraction": lambda m, x, i: i > 2.5,
    "without axes": lambda m, x, i: i * x.max(),
    "int32 without axes": lambda m, x, i: i.int() + i.max(),
    "two without axes": lambda m, x, i: i.max() * 2.5 + x.mean(),
    "size": lambda m, x, i: x * x.size(1) / x.shape[0] + i * x.size(1),
    "root of a size": lambda m, x, i: x / x.size(1) ** 0.5,
    "buffer": lambda m, x, i: x * m.numbers.three,
    "augmented": lambda m, x, i: _augmented(x),
}  # fmt: skip
CHOOSING = {
    "where": lambda m, x, i: torch.where(x > 0, x, i),
    "where of a number": lambda m, x, i: torch.where(i > 0, 2.5, i),
    "where of an int": lambda m, x, i: torch.where(i > 0, i, 0),
    "where of numbers": lambda m, x, i: torch.where(x > 0, 1, 0) + torch.where(x > 0, 0.5, 0.25),
    "masked_fill": lambda m, x, i: x.masked_fill(i[..., :1] > 0, -1e9),
    "masked with infinity": lambda m, x, i: x.masked_fill(~(i > 0), float("-inf")),
    "masked with NaN": lambda m, x, i: x.masked_fill(i > 0, float("nan")),
    "masked with a tensor": lambda m, x, i: x.masked_fill(i > 0, x.mean()),
    "ints masked": lambda m, x, i: i.masked_fill(x > 0, 7),
    "clamp": lambda m, x, i: x.clamp(-1, 1) + x.clamp(min=0) + x.clip(max=0.5) + i.clamp(0, 2),
    "clamp the wrong way round": lambda m, x, i: x.clamp(1, 0),
    "ints between fractions": lambda m, x, i: i.clamp(0.5, 2),
    "clamp by tensors": lambda m, x, i: torch.clamp(x, -i.abs(), x.abs() / 2) + torch.clamp_min(x, x.mean()),
    "clamp by infinity": lambda m, x, i: x.clamp(min=-math.inf, max=1.0),
    "clamp by a size": lambda m, x, i: i.clamp(max=x.size(1)),
    "addcmul": lambda m, x, i: torch.addcmul(x, x, x, value=0.5) - torch.addcdiv(x, x, x.abs() + 2, value=2),
    "lerp": lambda m, x, i: torch.lerp(x, x + 1, 0.25) + torch.lerp(x, -x, x),
    "casts": lambda m, x, i: (x * 3).long() + x.bool() + (x > 0).int() + x.type_as(i),
    "to a float": lambda m, x, i: i.float() + (x > 0).to(x) + i.to(x.dtype),
    "copy": lambda m, x, i: torch.zeros_like(x).copy_(i[:, :, :1]),
}  # fmt: skip
LAYERS = {
    "Add": lambda m, x, i: x + i,
    "Multiply": lambda m, x, i: x * i,
    "Minimum": lambda m, x, i: torch.min(x, -x),
    "NotEqual": lambda m, x, i: i[:, :, 0] != 0,
    "LogicalAnd": lambda m, x, i: (i[:, :, 0] > 0) & (i[:, :, 1] > 0),
    "Clip": lambda m, x, i: x.clamp(1, 0),
    "Elementwise": lambda m, x, i: x * i[..., :1],
}


def _augmented(x):
    y = x.clone()
    y += 1
    y *= x
    y -= 2
    y /= 3
    y.add_(x).mul_(2.0).clamp_(-1, 1).masked_fill_(x > 0, 2.0)
    y.exp_().neg_().abs_().sqrt_().pow_(2)
    return y


class Numbers(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("three", torch.tensor([3]))


def of_one_tensor():
    def named(name, change=lambda x, i: x):
        return lambda m, x, i: getattr(torch, name)(change(x, i))

    unary = {name: named(name) for name in UNARY}
    positive = {name: named(name, lambda x, i: x.abs() + 1.5) for name in OF_POSITIVE}
    integers = {f"{name} of ints": named(name, lambda x, i: i) for name in OF_INTEGERS}
    small = {name: named(name, lambda x, i: x.tanh() / 2) for name in ("asin", "acos", "atanh")}
    nan = {"sign of NaN": named("sign", lambda x, i: (x - 9).log())}
    return nan | unary | positive | integers | small


@pytest.mark.parametrize("every", SAMPLE_AND_ALL)
def test_functions_of_one_tensor(every):
    read_expressions(Expressions(some(of_one_tensor(), every)), (4, 3), (2, 0))


@pytest.mark.parametrize("every", SAMPLE_AND_ALL)
def test_functions_of_several_tensors(every):
    read_expressions(Expressions(some(joined(BINARY, CHOOSING), every), numbers=Numbers()), (4, 3), (1, 1))


def test_layers_are_preferred():
    _, nodes = read_expressions(Expressions(LAYERS), (4, 3))

    assert {name: node.op.kind for name, node in nodes.items()} == {name: name for name in LAYERS}


def test_floats_of_a_float64_module_are_float64():
    graph = torch_side.read(Wide().double(), (inputs(3, 5, 4)[0].double(), inputs(3, 5, 4)[1]))

    dtypes = {tensor.dtype for tensor in graph.tensors.values()}
    assert "float32" not in dtypes


class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x, i):
        return self.linear(x * (i > 0).float()), torch.zeros(2), i * 0.5


REFUSED = {
    "bits": (lambda m, x, i: i & 1, "__and__"),
    "bits turned": (lambda m, x, i: ~i, "bitwise_not"),
    "float16": (lambda m, x, i: x.half(), "float16"),
    "a byte": (lambda m, x, i: i.byte(), "uint8"),
}


def test_what_is_not_exact_is_refused_with_the_line():
    module = Expressions({name: rule for name, (rule, _) in REFUSED.items()})

    with pytest.raises(UnsupportedError) as caught:
        torch_side.read(module, tuple(inputs(3, 5, 4)))

    texts = [str(reason) for reason in caught.value.reasons()]
    assert len(texts) == len(REFUSED)
    assert all(
        any(word in text for word in words.split("|"))
        for text, (_, words) in zip(texts, REFUSED.values(), strict=True)
    )
    assert all("rule(self, x, i)" in text for text in texts)

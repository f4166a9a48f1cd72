"""Feature maps of torch, channels in front, read as layers with channels behind and few permutations."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

import biport.reference
import torch_side
from biport.graph import Graph, Value
from testing.torch_modules.cases import CASES, EXAMPLE, OTHERS, Case

PERMUTED = {
    "CRNN": 2,
    "CaptchaReader": 1,
    "ColumnsAsFeatures": 3,
    "DeepSpeech": 2,
    "SoundEvents": 2,
    "LRCN": 1,
    "FrameLoop": 8,
    "EEGNet": 1,
    "ConvLSTMLoop": 5,
    "UNet": 2,
    "QuartzNet": 1,
    "MobileLines": 3,
    "VideoVolumes": 2,
    "TextSpotter": 2,
}
"""The input's, what a head needs, and the output's; of frames one by one those of each."""
SAMPLE = ("CRNN",)


def arguments(case: Case, sizes: tuple[int, int]) -> tuple[Any, ...]:
    given = pytree.tree_map_only(
        torch.Tensor, lambda x: x.double() if x.is_floating_point() else x, case.call(sizes)
    )
    return given if isinstance(given, tuple) else (given,)


def check(module: nn.Module, graph: Graph, given: Sequence[torch.Tensor]) -> None:
    with torch.no_grad():
        wanted = pytree.tree_leaves(module(*given))
    actual = biport.reference.run(graph, [x.numpy() for x in given])
    for one, two in zip(wanted, actual, strict=True):
        np.testing.assert_allclose(two, one.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "name", [name if name in SAMPLE else pytest.param(name, marks=pytest.mark.sweep) for name in PERMUTED]
)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.filterwarnings("ignore:.*(is fixed at|not compared at):UserWarning")
def test_what_is_left_of_permutations(name: str) -> None:
    case = CASES[name]
    module = case.build().double()

    graph = torch_side.read(module, arguments(case, EXAMPLE))

    for sizes in (EXAMPLE, *OTHERS):
        check(module, graph, arguments(case, sizes))
    assert Counter(node.op.kind for node in graph.nodes)["PermuteDims"] == PERMUTED[name]


class Several(nn.Module):
    """Layers side by side over the same feature maps."""

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x):
        return [part(x) for part in self.parts]


CONVOLUTIONS: Any = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: Any = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
POOLS: Any = {
    1: (nn.MaxPool1d, nn.AvgPool1d),
    2: (nn.MaxPool2d, nn.AvgPool2d),
    3: (nn.MaxPool3d, nn.AvgPool3d),
}
ADAPTIVE: Any = {
    1: (nn.AdaptiveMaxPool1d, nn.AdaptiveAvgPool1d),
    2: (nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d),
    3: (nn.AdaptiveMaxPool3d, nn.AdaptiveAvgPool3d),
}
NORMS: Any = {
    1: (nn.BatchNorm1d, nn.InstanceNorm1d),
    2: (nn.BatchNorm2d, nn.InstanceNorm2d),
    3: (nn.BatchNorm3d, nn.InstanceNorm3d),
}
CHANNELS = 4


def convolution(rng: random.Random, count: int) -> nn.Module:
    each = lambda *choices: tuple(rng.choice(choices) for _ in range(count))  # noqa: E731
    padding: Any = rng.choice([each(0, 1, 2), each(0, 1), "valid", "same"])
    stride = (1,) * count if padding == "same" else each(1, 1, 2, 3)
    mode = (
        "zeros"
        if isinstance(padding, str)
        else rng.choice(["zeros", "zeros", "reflect", "replicate", "circular"])
    )
    groups = rng.choice([1, 1, 2, 4])
    settings = {"dilation": each(1, 1, 2), "groups": groups, "bias": rng.random() < 0.7, "padding_mode": mode}
    return CONVOLUTIONS[count](CHANNELS, 4 * rng.choice([1, 2]), each(1, 2, 3), stride, padding, **settings)


def transposed(rng: random.Random, count: int) -> nn.Module:
    each = lambda *choices: tuple(rng.choice(choices) for _ in range(count))  # noqa: E731
    stride, dilation, kernel = each(1, 2, 3), each(1, 2), each(1, 2, 3)
    more = tuple(rng.randrange(max(one, two)) for one, two in zip(stride, dilation, strict=True))
    padding = tuple(rng.randrange((K - 1) * step + 1) for K, step in zip(kernel, dilation, strict=True))
    return TRANSPOSED[count](
        CHANNELS, 4, kernel, stride, padding, more, rng.choice([1, 2]), rng.random() < 0.7, dilation
    )


def pool(rng: random.Random, count: int) -> nn.Module:
    each = lambda *choices: tuple(rng.choice(choices) for _ in range(count))  # noqa: E731
    size = each(1, 2, 3)
    padding = tuple(rng.randrange(K // 2 + 1) for K in size)
    largest, mean = POOLS[count]
    settings: dict[str, Any] = {"ceil_mode": rng.random() < 0.5}
    if rng.random() < 0.5:
        return largest(size, each(1, 2, 3), padding, **settings)
    if count > 1 and rng.random() < 0.3:
        settings["divisor_override"] = rng.choice([1, 3])
    return mean(size, each(1, 2, 3), padding, count_include_pad=rng.random() < 0.5, **settings)


def adaptive(rng: random.Random, count: int) -> nn.Module:
    sizes = tuple(rng.choice([1, 1, 2, 3] + ([None] if count > 1 else [])) for _ in range(count))
    return rng.choice(ADAPTIVE[count])(sizes)


def normalization(rng: random.Random, count: int) -> nn.Module:
    batch, instance = NORMS[count]
    layer: Any = rng.choice(
        [lambda: batch(CHANNELS), lambda: instance(CHANNELS, affine=True), lambda: nn.GroupNorm(2, CHANNELS)]
    )()
    with torch.no_grad():
        for name, tensor in (*layer.named_parameters(), *layer.named_buffers()):
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.1 * (name != "bias"))
    return layer


KINDS = (convolution, transposed, pool, adaptive, normalization)


@pytest.mark.sweep
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("varies", [True, False])
def test_settings_of_layers(count: int, varies: bool, seed: int) -> None:
    rng = random.Random(f"{count} {seed}")
    torch.manual_seed(seed)
    parts = [kind(rng, count) for kind in KINDS for _ in range(3)]
    sizes = [rng.randrange(6, 10) for _ in range(count)]
    module = Several(parts).double().eval()

    shape = ("N", CHANNELS, *("HWD"[:count] if varies else sizes))
    graph = torch_side.read(module, Value("x", shape, "float64"))

    # Where torch finds a size of 1 on the way it takes it for a number.
    known = graph.inputs[0].shape[2:]
    for rows, wanted in ((2, [6, 7, 9]), (1, [8, 6, 7])):
        size = [dim if isinstance(dim, int) else wanted[axis] for axis, dim in enumerate(known)]
        check(module, graph, [torch.randn(rows, CHANNELS, *size, dtype=torch.float64)])

"""Hypothesis strategies: torch modules of feature maps in front of recurrence, channels first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import assume
from hypothesis import strategies as st
from torch import Tensor, nn

from testing.strategies import Draw, choice, seldom, sizes

FREE = 40
"""The size of the axis that varies, in the example."""
MODES = ("zeros", "reflect", "replicate", "circular")


class Beside(nn.Module):
    """What a stack gives beside what it was given."""

    def __init__(self, inner: nn.Module, way: str) -> None:
        super().__init__()
        self.inner, self.way = inner, way

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        return torch.cat([x, y], dim=1) if self.way == "cat" else x + y if self.way == "add" else x * y


class Reader(nn.Module):
    """A stack, a sequence of its map, a recurrent layer, and numbers of each step or of the last."""

    def __init__(
        self, stack: nn.Module, steps: Callable[[Tensor], Tensor], rnn: Any, out: nn.Module, last: bool
    ):
        super().__init__()
        self.stack, self.steps, self.rnn, self.out, self.last = stack, steps, rnn, out, last

    def forward(self, image: Tensor) -> Tensor:
        y, _ = self.rnn(self.steps(self.stack(image)))
        y = self.out(y)
        if self.last:
            return y[:, -1] if self.rnn.batch_first else y[-1]
        return y


def along(draw: Draw, dimensions: int, lowest: int, highest: int) -> Any:
    """A number for every axis, or one for all."""
    one = st.integers(lowest, highest)
    return draw(st.one_of(one, st.tuples(*[one] * dimensions)))


def each(value: Any, dimensions: int) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,) * dimensions


@dataclass
class Stack:
    """What has been drawn: the layers, and the shape behind them of one example."""

    draw: Draw
    dimensions: int
    shape: tuple[int, ...]
    layers: list[nn.Module]

    @property
    def features(self) -> int:
        return self.shape[0]

    def add(self, layer: nn.Module) -> None:
        layer.eval()
        try:
            with torch.no_grad():
                self.shape = tuple(layer(torch.zeros(1, *self.shape)).shape[1:])
        except (RuntimeError, ValueError):  # too few elements for a window, or for a mean
            assume(False)
        assume(self.features <= 12 and all(1 <= size <= 90 for size in self.shape))
        self.layers.append(layer)


def convolution(stack: Stack) -> nn.Module:
    draw, dimensions = stack.draw, stack.dimensions
    kernel, dilation = along(draw, dimensions, 1, 3), along(draw, dimensions, 1, 2)
    strides = along(draw, dimensions, 1, 3)
    padding = along(draw, dimensions, 0, 2)
    if draw(seldom()):
        strides, padding = 1, "same"
    groups = draw(choice(*(g for g in range(1, stack.features + 1) if stack.features % g == 0)))
    kind = getattr(nn, f"Conv{dimensions}d")
    mode = draw(choice("zeros", "zeros", "zeros", *MODES))
    made = groups * draw(sizes(2))
    bias = not draw(seldom())
    return kind(stack.features, made, kernel, strides, padding, dilation, groups, bias, mode)


def transposed(stack: Stack) -> nn.Module:
    draw, dimensions = stack.draw, stack.dimensions
    strides, dilation = (
        each(along(draw, dimensions, 1, 3), dimensions),
        each(along(draw, dimensions, 1, 2), dimensions),
    )
    kernel = along(draw, dimensions, 1, 4)
    most = zip(strides, dilation, strict=True)
    more = (
        tuple(draw(st.integers(0, max(stride, apart) - 1)) for stride, apart in most) if draw(seldom()) else 0
    )
    groups = draw(choice(*(g for g in range(1, stack.features + 1) if stack.features % g == 0)))
    padding = along(draw, dimensions, 0, 1)
    kind = getattr(nn, f"ConvTranspose{dimensions}d")
    made = groups * draw(sizes(2))
    bias = not draw(seldom())
    return kind(stack.features, made, kernel, strides, padding, more, groups, bias, dilation)


def pool(stack: Stack) -> nn.Module:
    draw, dimensions = stack.draw, stack.dimensions
    size = along(draw, dimensions, 1, 3)
    strides = draw(st.one_of(st.none(), st.just(along(draw, dimensions, 1, 3))))
    most = tuple(one // 2 for one in each(size, dimensions))
    padding = tuple(draw(st.integers(0, one)) for one in most) if draw(st.booleans()) else 0
    up = draw(seldom())
    match draw(choice("max", "average", "average", "power") if dimensions == 2 else choice("max", "average")):
        case "max":
            apart = along(draw, dimensions, 1, 2) if draw(seldom()) else 1
            return getattr(nn, f"MaxPool{dimensions}d")(size, strides, padding, apart, ceil_mode=up)
        case "average":
            count = {"count_include_pad": draw(st.booleans())}
            if dimensions > 1 and draw(seldom()):
                count["divisor_override"] = draw(st.integers(1, 5))
            return getattr(nn, f"AvgPool{dimensions}d")(size, strides, padding, up, **count)
    return getattr(nn, f"LPPool{dimensions}d")(2, size, strides)


def adaptive(stack: Stack) -> nn.Module:
    """What is known is pooled to a size, what varies stays or becomes one."""
    draw, dimensions = stack.draw, stack.dimensions
    kind = draw(choice("Max", "Avg"))
    fixed = stack.shape[1:-1]
    to = (*(draw(choice(None, draw(st.integers(1, size)))) for size in fixed), draw(choice(None, None, 1)))
    # Of one axis torch takes no size that stays.
    return getattr(nn, f"Adaptive{kind}Pool{dimensions}d")(1 if dimensions == 1 else to)


def padded(stack: Stack) -> nn.Module:
    draw, dimensions = stack.draw, stack.dimensions
    kind = draw(choice("Zero", "Reflection", "Replication", "Constant"))
    kind = "Zero" if kind == "Reflection" and dimensions == 3 else kind
    amount = tuple(draw(st.integers(0, 2)) for _ in range(2 * dimensions))
    value = (0.5,) if kind == "Constant" else ()
    return getattr(nn, f"{kind}Pad{dimensions}d")(amount, *value)


def larger(stack: Stack) -> nn.Module:
    draw, dimensions = stack.draw, stack.dimensions
    factor = along(draw, dimensions, 1, 3)
    mode = draw(choice("nearest", "bilinear")) if dimensions == 2 else "nearest"
    corners = {"align_corners": False} if mode == "bilinear" else {}
    scale = tuple(map(float, factor)) if isinstance(factor, tuple) else float(factor)
    return nn.Upsample(scale_factor=scale, mode=mode, **corners)


def normalised(stack: Stack) -> nn.Module:
    draw, dimensions = stack.draw, stack.dimensions
    match draw(choice("batch", "batch", "batch", "group", "instance", "layer")):
        case "batch":
            return getattr(nn, f"BatchNorm{dimensions}d")(stack.features, affine=not draw(seldom()))
        case "group":
            groups = draw(choice(*(g for g in range(1, stack.features + 1) if stack.features % g == 0)))
            return nn.GroupNorm(groups, stack.features, eps=0.1)
        case "instance":
            return getattr(nn, f"InstanceNorm{dimensions}d")(
                stack.features, eps=0.1, affine=draw(st.booleans())
            )
    return nn.Sequential(ByChannels(nn.LayerNorm(stack.features, eps=0.1)))


class ByChannels(nn.Module):
    """A layer over the last axis, which the channels are made for it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.movedim(1, -1)).movedim(-1, 1)


def activated(stack: Stack) -> nn.Module:
    draw = stack.draw
    kinds = (nn.ReLU(), nn.ReLU6(), nn.ELU(), nn.Tanh(), nn.Hardtanh(0, 2), nn.SiLU(), nn.Hardswish())
    return draw(
        choice(
            *kinds,
            nn.LeakyReLU(0.2, inplace=True),
            nn.PReLU(stack.features),
            nn.Softmax(dim=1),
            nn.Dropout(0.4),
        )
    )


def joined(stack: Stack) -> nn.Module:
    draw = stack.draw
    kind = getattr(nn, f"Conv{stack.dimensions}d")
    inner: nn.Module = kind(stack.features, stack.features, 3, padding=1)
    if draw(st.booleans()):
        inner = nn.Sequential(inner, getattr(nn, f"BatchNorm{stack.dimensions}d")(stack.features), nn.ReLU())
    return Beside(inner, draw(choice("cat", "add", "multiply")))


STACK = (
    *(convolution, convolution, convolution, transposed, pool, pool, adaptive, padded, larger),
    *(normalised, normalised, activated, activated, joined),
)

STEPS: dict[str, Callable[[Tensor], Tensor]] = {
    "permute and reshape": lambda x: x.movedim(-1, 1).reshape(x.size(0), x.size(-1), -1),
    "flatten and permute": lambda x: x.flatten(1, -2).permute(2, 0, 1),
    "flatten and transpose": lambda x: x.flatten(1, -2).transpose(1, 2),
    "view": lambda x: x.movedim(-1, 1).contiguous().view(x.size(0), -1, x[0, ..., 0].numel()),
    "channels last": lambda x: x.permute(0, *range(x.dim() - 1, 0, -1)).flatten(2),
    "mean": lambda x: x.flatten(2, -2).mean(2).transpose(1, 2) if x.dim() > 3 else x.transpose(1, 2),
    "max": lambda x: x.flatten(2, -2).amax(dim=2).permute(2, 0, 1) if x.dim() > 3 else x.permute(2, 0, 1),
    "lines": lambda x: (
        torch.cat([x.unbind(2)[0], torch.relu(x[:, :, -1])], 1).mT if x.dim() == 4 else x.flatten(1, -2).mT
    ),
}


@st.composite
def torch_feature_maps(draw: Draw) -> tuple[nn.Module, Tensor]:
    """A module in eval mode, no weight at zero or one, and an example."""
    torch.manual_seed(draw(st.integers(0, 2**16)))
    dimensions = draw(choice(1, 2, 2, 2, 3))
    over = (*(draw(st.integers(4, 9)) for _ in range(dimensions - 1)), FREE)
    stack = Stack(draw, dimensions, (draw(sizes(3)), *over), [])
    image = torch.randn(2, *stack.shape)
    for _ in range(draw(st.integers(1, 5))):
        stack.add(draw(choice(*STACK))(stack))
    steps = STEPS[draw(choice(*STEPS))]
    width = steps(torch.zeros(2, *stack.shape)).shape[-1]
    kind = draw(choice(nn.LSTM, nn.GRU, nn.RNN))
    batch_first = steps(torch.zeros(3, *stack.shape)).shape[0] == 3 and stack.shape[-1] != 3
    both = draw(st.booleans())
    rnn = kind(width, 3, batch_first=batch_first, bidirectional=both, num_layers=draw(choice(1, 1, 2)))
    module = Reader(
        nn.Sequential(*stack.layers), steps, rnn, nn.Linear(3 * (1 + both), 2), draw(st.booleans())
    )
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.dim() == 1:
                tensor.add_(0.3 * torch.rand_like(tensor))
    return module.eval(), image

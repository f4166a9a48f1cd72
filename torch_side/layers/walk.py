"""Walking only the valid steps of a padded batch, exact for a mask of any pattern.

A stable partition moves the valid steps of every row to its front. What then comes behind them cannot
change their outputs, which are put back where they belong. There are two ways to run the layer:

- `walk_aligned` runs each direction by itself over whole rows, the backward one over reversed rows. On a CPU
  this keeps torch's fast path for dense input: 1.8 to 3.8 times as fast as packing at inference and 1.9 to 9
  times in training, measured for batches of 8 and 32; for a single row there is no difference.
- `walk_packed` runs both directions at once over a packed sequence, which is what cuDNN is made for: it
  wants the weights of both directions in one piece.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from torch_side.layers.masks import take_steps


def walk(lstm: nn.LSTM, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Run ``lstm`` over the valid steps of ``x``, ``(N, T, I)`` with T > 0.

    Returns:
        The output at each step, ``(N, T, D·H)``, zero at masked steps; and the final state of each
        direction, ``(D, N, H)``, zero for a row without any valid step.
    """
    # Zeros instead of whatever the padding holds: NaN would reach the gradients of the weights.
    x = x.masked_fill(~mask.unsqueeze(-1), 0)
    run = walk_aligned if x.device.type == "cpu" else walk_packed
    return run(lstm, x, mask)


def walk_aligned(lstm: nn.LSTM, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """`walk`, one direction after the other."""
    output, last = _one_way(lstm, "l0", x, mask)
    if not lstm.bidirectional:
        return output, last.unsqueeze(0)
    back, back_last = _one_way(lstm, "l0_reverse", x.flip(1), mask.flip(1))
    return torch.cat([output, back.flip(1)], dim=-1), torch.stack([last, back_last])


def _one_way(lstm: nn.LSTM, suffix: str, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """One direction's weights, walked from the first step to the last: ``(N, T, H)`` and ``(N, H)``."""
    names = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if lstm.bias else ()))
    weights = [getattr(lstm, f"{name}_{suffix}") for name in names]
    initial = x.new_zeros(1, x.shape[0], lstm.hidden_size)
    # What nn.LSTM calls itself: layers, dropout between them, training, bidirectional, batch_first.
    settings = (lstm.bias, 1, 0.0, lstm.training, False, True)
    output, _, _ = torch.lstm(_compact(x, mask), (initial, initial), weights, *settings)
    count = mask.sum(dim=1)
    last = take_steps(output, (count - 1).clamp(min=0).unsqueeze(-1)).squeeze(1)
    return _spread(output, mask), last.masked_fill((count == 0)[:, None], 0)


def walk_packed(lstm: nn.LSTM, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """`walk`, both directions at once."""
    count = mask.sum(dim=1)
    if count.numel() == 0:
        output, (last, _) = lstm(x)
        return output, last
    # Packing refuses rows without a step: they walk one, which is then thrown away.
    lengths = count.clamp(min=1).cpu()
    packed = pack_padded_sequence(_compact(x, mask), lengths, batch_first=True, enforce_sorted=False)
    output, (last, _) = lstm(packed)
    padded, _ = pad_packed_sequence(output, batch_first=True, total_length=x.shape[1])
    return _spread(padded, mask), last.masked_fill((count == 0)[:, None], 0)


def _compact(x: Tensor, mask: Tensor) -> Tensor:
    """The valid steps of each row of ``(N, T, I)`` first, in their order."""
    # uint8 because CUDA does not sort booleans.
    order = torch.argsort((~mask).to(torch.uint8), dim=1, stable=True)
    return take_steps(x, order)


def _spread(compact: Tensor, mask: Tensor) -> Tensor:
    """Undo `_compact`, with zeros at masked steps."""
    source = (mask.cumsum(dim=1) - 1).clamp(min=0)
    return take_steps(compact, source).masked_fill(~mask.unsqueeze(-1), 0)

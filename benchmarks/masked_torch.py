"""Masked recurrent layers of torch: whole rows, packed rows, what the layer chooses, and packing by hand.

    python benchmarks/masked_torch.py                 one thread, about 3 minutes
    python benchmarks/masked_torch.py --wide          every size and kind of lengths; longer than an hour
    python benchmarks/masked_torch.py --kinds lstm --modes training --shapes 8x100,64x100 --sizes 16,256

The figures behind `packs` of `torch_side/layers/recurrent.py`: times by hand, and the others' as multiples.
By hand is `pack_padded_sequence` over unsorted rows, `torch.nn.LSTM` and `pad_packed_sequence`. *near*
lengths are the last tenth of T, *uniform* ones a fifth of T to T, *short* ones mostly below a quarter.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from biport.app.measure import machine, take_turns
from biport.tables import markdown_table
from torch_side import layers
from torch_side.layers import recurrent
from torch_side.layers.recurrent import packs

KINDS: dict[str, tuple[Any, Any]] = {
    "lstm": (nn.LSTM, layers.MaskedLSTM),
    "gru": (nn.GRU, layers.MaskedGRU),
    "rnn": (nn.RNN, layers.MaskedRNN),
}
SHAPES = {"inference": "1x100,8x100,32x100,128x100", "training": "1x100,8x100,32x60,128x20"}
WIDE = {
    "inference": "1x20,1x100,1x300,2x20,2x100,8x20,8x100,32x20,32x100,32x300,128x20,128x100,128x300,512x50",
    "training": "1x20,1x100,4x20,4x100,16x20,16x100,64x20,64x100,128x20,128x100,512x20",
}
SHOWN = ("whole rows", "packed", "layer")
Runs = dict[str, Callable[[], Any]]


def drawn_lengths(kind: str, N: int, T: int) -> Tensor:
    """Lengths of rows; the first one is T."""
    if kind == "short":
        lengths = (T * torch.rand(N) ** 3).long().clamp(min=1)
    else:
        lengths = torch.randint(T // 5 if kind == "uniform" else T - T // 10, T + 1, (N,))
    lengths[0] = T
    return lengths


def contestants(kind: str, bidirectional: bool, H: int, mask: Tensor, training: bool) -> Runs:
    """What is timed, each a function of nothing; all compute the same."""
    stock, masked = (of(H, H, bidirectional=bidirectional, **more) for of, more in zip(
        KINDS[kind], ({"batch_first": True}, {}), strict=True
    ))  # fmt: skip
    masked.load_state_dict(stock.state_dict())
    stock.train(training)
    masked.train(training)
    x = torch.randn(*mask.shape, H)

    def layer(packed: bool | None = None) -> Tensor:
        recurrent.packs = packs if packed is None else lambda *given: packed
        return masked(x, mask=mask)[0]

    def by_hand() -> Tensor:
        packed = pack_padded_sequence(x, mask.sum(dim=1), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(stock(packed)[0], batch_first=True, total_length=x.shape[1])[0]

    runs: Runs = {
        "by hand": by_hand,
        "whole rows": lambda: layer(False),
        "packed": lambda: layer(True),
        "layer": layer,
    }
    results = [run() for run in runs.values()]
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=0, atol=1e-5)
    if not training:
        return runs
    return {name: lambda run=run: run().sum().backward() for name, run in runs.items()}


def ratios(runs: Runs, seconds: float) -> list[str]:
    """Milliseconds by hand, the others' multiples, and the layer's of the better of the two ways."""
    times = take_turns(runs, seconds=seconds, least=3)
    better = min(("whole rows", "packed"), key=times.median)
    found = [f"{times.ratio(name, 'by hand'):.2f}" for name in SHOWN]
    return [f"{times.median('by hand'):.2f}", *found, f"{times.ratio('layer', better):.2f}"]


def rows(given: argparse.Namespace, mode: str) -> Iterator[list[str]]:
    shapes = given.shapes or (WIDE if given.wide else SHAPES)[mode]
    sizes = given.sizes or ("16,64,256" if given.wide else "64")
    lengths = given.lengths or ("near,uniform,short" if given.wide else "uniform,short")
    ways = (False, True) if given.wide or mode == "inference" else (True,)
    for kind, bidirectional, H, drawn, shape in itertools.product(
        given.kinds.split(","), ways, map(int, sizes.split(",")), lengths.split(","), shapes.split(",")
    ):
        N, T = map(int, shape.split("x"))
        if N == 1 and drawn != lengths.split(",")[0]:
            continue
        mask = torch.arange(T) < drawn_lengths(drawn, N, T).unsqueeze(1)
        name = f"{mode}, {kind}{', both ways' if bidirectional else ''}, H {H}, N {N}, T {T}, {drawn}"
        with torch.set_grad_enabled(mode == "training"):
            runs = contestants(kind, bidirectional, H, mask, mode == "training")
            yield [name, *ratios(runs, given.seconds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument(
        "--modes", default=",".join(SHAPES), help="of inference, training: one step's gradients"
    )
    parser.add_argument("--shapes", help="NxT,NxT,...")
    parser.add_argument("--sizes", help="H, which is I as well")
    parser.add_argument("--lengths", help="of near, uniform, short")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.5, help="for each row of the table")
    parser.add_argument("--wide", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    print(machine("torch"))
    print(
        f"{given.threads} threads; ms by hand, the others as multiples of it, the layer of the better way\n"
    )
    print(markdown_table([["", "ms", *SHOWN, "layer / better"]], "<>"), flush=True)
    for mode in given.modes.split(","):
        for row in rows(given, mode):
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()

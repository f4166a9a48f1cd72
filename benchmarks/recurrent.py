"""One recurrent layer under a classifier, both ways: the fused route against tf2onnx, torch and Keras.

python benchmarks/recurrent.py                       the masked BiLSTM, then all other kinds
python benchmarks/recurrent.py --kinds gru,rnn --masks masked --lowerings auto,fused,loop
python benchmarks/recurrent.py --lengths short --contestants run,bare,module,torch
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from contestants import CONTESTANTS, KINDS, D, H, V, contestants, prepared, use_threads
from rows import LENGTHS, lengths, padded

from biport.app.measure import Timed, machine, take_turns
from biport.tables import markdown_table

NAMES = ("predict", "bare", "tf2onnx", "module", "torch", "keras")


def measured(runs: Mapping[str, Timed], names: Sequence[str], seconds: float) -> Iterator[str]:
    """Milliseconds of all contestants, and how many times as long as the first they take."""
    times = take_turns(runs, seconds=seconds)
    yield from (f"{times.median(name):.2f}" if name in runs else "-" for name in names)
    for name in names[1:]:
        yield times.ratios(name, names[0]) if name in runs else "-"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=CONTESTANTS, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--masks", default="masked,plain")
    parser.add_argument("--lengths", default="uniform", choices=LENGTHS, help="of the masked rows")
    parser.add_argument("--lowerings", default="auto", help="of auto, fused, loop; auto is shown as run")
    parser.add_argument(
        "--contestants", default=None, help="ratios are to the first; all of them unless said"
    )
    parser.add_argument("--shapes", default="1x100,8x100,32x300,128x300", help="NxT,NxT,...")
    parser.add_argument("--threads", type=int, default=1, help="of every contestant")
    parser.add_argument("--seconds", type=float, default=8.0, help="for each row")
    given = parser.parse_args()
    use_threads(given.threads)
    lowerings = given.lowerings.split(",")
    shown = ["run" if lowering == "auto" else lowering for lowering in lowerings]
    names = given.contestants.split(",") if given.contestants else [*shown, *NAMES]
    rng = np.random.default_rng(0)

    print(machine("onnxruntime", "tf2onnx", "torch", "keras", "tensorflow"))
    print(f"V {V}, D {D}, H {H}, both ways, {given.threads} threads, masked rows: {given.lengths}")
    print(f"ms, then times as long as {names[0]}\n")
    print(markdown_table([["", *names, *(f"{name} ×" for name in names[1:])]], "<>"), flush=True)
    for kind, masks in itertools.product(given.kinds.split(","), given.masks.split(",")):
        masked = masks == "masked"
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            found = contestants(kind, masked, Path(folder), given.threads, lowerings)
            for shape in given.shapes.split(","):
                N, T = map(int, shape.split("x"))
                ids = padded(rng, lengths(rng, N, T, given.lengths if masked else "full"), T, V)
                row = [
                    f"{kind} {masks} N{N} T{T}",
                    *measured(prepared(found, ids, names), names, given.seconds),
                ]
                print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()

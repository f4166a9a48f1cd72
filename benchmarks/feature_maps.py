"""A reader of text in images, convolutions before two BiLSTMs: biport's files and modules beside others.

    python benchmarks/feature_maps.py
    python benchmarks/feature_maps.py --batches 1,32 --threads 2 --convolutions

The Keras model, read and written by biport as ONNX and as torch; tf2onnx' file of it; what a person writes in
torch, channels first, and ``torch.onnx.export`` makes of that. All have the same weights, which is checked.
``--convolutions`` leaves the recurrent layers out.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
import torch  # before tensorflow
from torch import nn

import export
import keras_side
import torch_side
from biport.app.measure import machine, take_turns
from biport.tables import markdown_table

Run: TypeAlias = Callable[[np.ndarray], Any]

HEIGHT, WIDTH, CLASSES, H = 32, 128, 37, 128
FILTERS = (32, 64, 128, 128, 256, 256)
POOLS: Sequence[tuple[int, int] | None] = ((2, 2), (2, 2), None, (2, 1), None, (2, 1))
COLUMNS = HEIGHT // 16 * FILTERS[-1]
ALLOWED = 1e-4


def keras_model(recurrent: bool) -> Any:
    """Convolutions, each normalised, over ``(N, HEIGHT, WIDTH, 1)``; then from left to right."""
    import keras
    from keras import layers

    x = image = keras.Input((HEIGHT, WIDTH, 1))
    for number, (filters, pool) in enumerate(zip(FILTERS, POOLS, strict=True)):
        x = layers.Conv2D(filters, 3, padding="same", name=f"conv_{number}")(x)
        x = layers.ReLU()(layers.BatchNormalization(name=f"norm_{number}")(x))
        x = x if pool is None else layers.MaxPooling2D(pool)(x)
    x = layers.Reshape((WIDTH // 4, COLUMNS))(layers.Permute((2, 1, 3))(x))
    for number in range(2 * recurrent):
        x = layers.Bidirectional(layers.LSTM(H, return_sequences=True), name=f"lstm_{number}")(x)
    model = keras.Model(image, layers.Dense(CLASSES, "softmax")(x))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if "moving_variance" not in weight.path:
            weight.assign(rng.normal(scale=weight.shape[-1] ** -0.5 / 3, size=weight.shape))
    return model


class ByHand(nn.Module):
    """What a person writes, channels first."""

    def __init__(self, recurrent: bool) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        given = 1
        for filters, pool in zip(FILTERS, POOLS, strict=True):
            parts += [nn.Conv2d(given, filters, 3, padding=1), nn.BatchNorm2d(filters, eps=1e-3), nn.ReLU()]
            parts += [] if pool is None else [nn.MaxPool2d(pool)]
            given = filters
        self.convolutions = nn.Sequential(*parts)
        sizes = (COLUMNS, 2 * H) if recurrent else ()
        self.recurrent = nn.ModuleList(
            [nn.LSTM(size, H, batch_first=True, bidirectional=True) for size in sizes]
        )
        self.head = nn.Linear(2 * H if recurrent else COLUMNS, CLASSES)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """``(N, 1, HEIGHT, WIDTH)`` to shares at each column."""
        x = self.convolutions(image).permute(0, 3, 2, 1).flatten(2)
        for layer in self.recurrent:
            x, _ = layer(x)
        return torch.softmax(self.head(x), -1)


def sides(recurrent: bool, threads: int, folder: Path) -> dict[str, Run]:
    """By name what computes the shares of images ``(N, HEIGHT, WIDTH, 1)``."""
    model = keras_model(recurrent)
    graph = keras_side.read(model)
    written = torch_side.write(graph).eval()
    by_hand = ByHand(recurrent).eval()
    with torch.no_grad():
        names = zip(by_hand.state_dict(), written.state_dict().values(), strict=True)
        by_hand.load_state_dict(dict(names))
    export.write(graph, folder / "biport.onnx")
    export.write_tf2onnx(model, folder / "tf2onnx.onnx")
    axes = {"image": {0: "N"}}
    example = torch.zeros(2, 1, HEIGHT, WIDTH)
    torch.onnx.export(
        by_hand, (example,), str(folder / "torch.onnx"), input_names=["image"], dynamic_axes=axes,
        opset_version=18, dynamo=False,
    )  # fmt: skip
    files = {
        name: export.Session(folder / f"{name}.onnx", "cpu", threads)
        for name in ("biport", "tf2onnx", "torch")
    }

    def first(images: np.ndarray) -> np.ndarray:
        """Of one channel the same numbers in front of the others."""
        return images.transpose(0, 3, 1, 2)

    return {
        "biport onnx": lambda images: files["biport"].run([images])[0],
        "torch's onnx": lambda images: files["torch"].run([first(images)])[0],
        "tf2onnx": lambda images: files["tf2onnx"].run([images])[0],
        "written torch": lambda images: written(torch.from_numpy(images)),
        "torch by hand": lambda images: by_hand(torch.from_numpy(first(images))),
        "keras": lambda images: model.predict(images, batch_size=len(images), verbose=0),
    }


RATIOS = {
    "torch's onnx": "biport onnx",
    "tf2onnx": "biport onnx",
    "keras": "biport onnx",
    "torch by hand": "written torch",
}
"""How many times as long the first of each takes as the second."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batches", default="1,8,32")
    parser.add_argument("--threads", type=int, default=1, help="of every side")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each batch")
    parser.add_argument("--convolutions", action="store_true", help="without the recurrent layers")
    given = parser.parse_args()
    import tensorflow

    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(given.threads)
    tensorflow.config.threading.set_intra_op_parallelism_threads(given.threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(given.threads)
    rng = np.random.default_rng(1)
    lines = []
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        runs = sides(not given.convolutions, given.threads, Path(folder))
        for N in map(int, given.batches.split(",")):
            images = rng.random((N, HEIGHT, WIDTH, 1), "float32")
            results = {name: np.asarray(run(images)) for name, run in runs.items()}
            for name, result in results.items():
                off = float(np.abs(result - results["keras"]).max())
                if off > ALLOWED:
                    raise SystemExit(f"{name}: off by {off:.1e} from keras")
            turns = {name: lambda run=run, images=images: run(images) for name, run in runs.items()}
            times = take_turns(turns, seconds=given.seconds)
            shown = [f"{times.median(name):.2f}" for name in runs]
            lines.append([f"N = {N}", *shown, *(times.ratios(*pair) for pair in RATIOS.items())])
    print(machine("onnxruntime", "tf2onnx", "torch", "keras", "tensorflow"))
    print(f"{given.threads} threads; ms, then times as long (of the shortest calls)\n")
    print(markdown_table([["", *runs, *(f"{one} / {two}" for one, two in RATIOS.items())], *lines]))


if __name__ == "__main__":
    main()

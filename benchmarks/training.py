"""An epoch of `biport train` beside a plain `model.fit` and a plain loop in torch, over the same batches.

    python benchmarks/training.py
    python benchmarks/training.py --imdb imdb.npz --batches 40

An epoch is training, validation, and the best weights kept; loss, optimizer, first weights and batches are
the same, which is checked by the loss of the first epoch. Plain is ``fit`` with a ``ModelCheckpoint`` over
arrays of the batches, or a ``PyDataset`` where their lengths differ, and in torch the loop of any tutorial
over the module that biport trains. ``naive`` is the same with every row padded to the longest of all. Rows
are drawn with lengths like those of IMDB; ``--imdb`` takes the real ones: a folder ``aclImdb``, its archive
or Keras' ``imdb.npz``.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
import torch
from contestants import use_threads
from torch import nn

from biport.app.measure import Timed, machine, take_turns
from biport.data import BatchPosition, pad
from biport.graph import Graph
from biport.tables import markdown_table
from biport.training import Adam, Batch, Recipe, find_recipe
from biport.training.data import Columns, TaskData, load_data, one_class
from biport.training.loop import Loop
from biport.training.optimizers import rate_at
from biport.training.progress import Progress, write_checkpoint
from keras_side import train as in_keras
from torch_side import train as in_torch

Epoch: TypeAlias = Callable[[], float]
"""Trains an epoch; its mean loss."""

SIDES: dict[str, Any] = {"Keras": in_keras, "torch": in_torch}
VALIDATION = 0.25
"""Batches to validate on, as a share of those to train on: of IMDB's rows a fifth is held out."""
ALLOWED = 1e-3
EPSILON = Adam().epsilon


def cases(imdb: str | None, batches: int) -> dict[str, tuple[Recipe, TaskData]]:
    """The IMDB recipe, masked as well, and texts padded batch by batch; all of one epoch."""
    recipe = dataclasses.replace(find_recipe("sentiment", "imdb-sum", imdb), epochs=1)
    data = cut(load_data(recipe), recipe, batches) if imdb else drawn(recipe, batches, 5.2, 2500)
    short = dataclasses.replace(find_recipe("sentiment", "reviews", None), epochs=1)
    return {
        "imdb-sum": (recipe, data),
        "imdb-sum, masked": (recipe.setting({"masked": True}), data),
        "reviews": (short, drawn(short, 3 * batches, 3.6, 300)),
    }


def drawn(recipe: Recipe, batches: int, middle: float, longest: int) -> TaskData:
    """Rows of log-normal lengths around ``exp(middle)``, cut and padded as IMDB's if the recipe has a T."""
    rng = np.random.default_rng(0)
    V = recipe.vocabulary_limit or 5000
    parts = []
    for count in (batches, round(VALIDATION * batches)):
        lengths = np.clip(rng.lognormal(middle, 0.65, count * recipe.batch_size), 5, longest).astype(int)
        rows = [rng.integers(1, V, length).astype("int32") for length in lengths]
        labels = rng.integers(0, 2, len(rows)).astype("int32")
        length = recipe.max_length
        parts.append(
            (pad(rows, length, "left", "left") if length else [row.tolist() for row in rows], labels)
        )
    return TaskData(parts[0], parts[1], parts[1], one_class, {"vocabulary_size": V, "classes": 1})


def cut(data: TaskData, recipe: Recipe, batches: int) -> TaskData:
    train, validation = batches * recipe.batch_size, round(VALIDATION * batches) * recipe.batch_size
    return dataclasses.replace(
        data,
        train=[column[:train] for column in data.train],
        validation=[column[:validation] for column in data.validation],
    )


def arranged(recipe: Recipe, data: TaskData, columns: Columns, shuffled: bool, naive: bool) -> list[Batch]:
    """The batches that biport meets in its first epoch."""
    if naive:
        rows, *rest = columns
        columns = [pad([*rows], max(map(len, rows))), *rest]
    return [*map(data.arrange, data.batches(columns, recipe, BatchPosition() if shuffled else None))]


def with_biport(side: Any, recipe: Recipe, data: TaskData, model: Any, folder: Path) -> Epoch:
    """As ``biport train`` runs it."""
    trainer = side.Trainer(model, recipe.optimizer, recipe.clip_norm)

    def epoch() -> float:
        progress = Progress()
        Loop(
            trainer,
            recipe,
            data,
            progress,
            folder / "last.safetensors",
            lambda: write_checkpoint(folder / "best.safetensors", trainer.state(), progress),
        ).run()
        return progress.epochs[0].loss

    return epoch


class Prepared(keras.utils.PyDataset):
    """Batches of different lengths."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        super().__init__()
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.batches[index].inputs[0], self.batches[index].truth


def plain_fit(recipe: Recipe, train: list[Batch], validation: list[Batch], model: Any, folder: Path) -> Epoch:
    def given(batches: list[Batch]) -> Any:
        if len({batch.inputs[0].shape[1] for batch in batches}) > 1:
            return Prepared(batches), None
        return np.concatenate([b.inputs[0] for b in batches]), np.concatenate([b.truth for b in batches])

    x, y = given(train)
    held_out = given(validation)
    rate: Any = recipe.learning_rate
    if recipe.decay == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, len(train))
    adam = keras.optimizers.Adam(rate, epsilon=EPSILON, global_clipnorm=recipe.clip_norm)
    model.compile(adam, "binary_crossentropy", metrics=["accuracy"])
    size = {} if y is None else {"batch_size": recipe.batch_size, "validation_batch_size": recipe.batch_size}
    held = held_out[0] if held_out[1] is None else held_out

    def epoch() -> float:
        kept = keras.callbacks.ModelCheckpoint(str(folder / "plain.keras"), save_best_only=True)
        history = model.fit(
            x, y, validation_data=held, epochs=1, shuffle=False, verbose=0, callbacks=[kept], **size
        )
        return history.history["loss"][0]

    return epoch


def plain_loop(
    recipe: Recipe, train: list[Batch], validation: list[Batch], model: Any, folder: Path
) -> Epoch:
    loss_of = nn.BCELoss()

    def tensors(batches: list[Batch]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return [(torch.from_numpy(b.inputs[0]), torch.from_numpy(b.truth).float()) for b in batches]

    known, held_out = tensors(train), tensors(validation)

    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    adam = torch.optim.Adam(parameters, recipe.learning_rate, eps=EPSILON)

    def epoch() -> float:
        total, right, rows = 0.0, 0, 0
        model.train()
        for number, (tokens, truth) in enumerate(known):
            adam.param_groups[0]["lr"] = rate_at(number, len(known), recipe.learning_rate, recipe.decay)
            adam.zero_grad()
            p = model(tokens).squeeze(1)
            loss = loss_of(p, truth)
            loss.backward()
            if recipe.clip_norm is not None:
                nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
            adam.step()
            total += loss.item() * len(truth)
            right += int(((p > 0.5) == truth).sum())
            rows += len(truth)
        model.eval()
        held = 0.0
        with torch.no_grad():
            for tokens, truth in held_out:
                held += loss_of(model(tokens).squeeze(1), truth).item()
        torch.save(model.state_dict(), folder / "plain.pt")
        return total / rows

    return epoch


PLAIN = {"Keras": plain_fit, "torch": plain_loop}


def epochs(framework: str, recipe: Recipe, data: TaskData, folder: Path) -> dict[str, Epoch]:
    """By name, each with a model of its own, all of the same first weights."""
    side = SIDES[framework]

    def model(first: Graph | None = None) -> Any:
        built = side.build(recipe.family, {**recipe.settings, **data.sizes}, recipe.dtype, recipe.seed)
        trainer = side.Trainer(built, recipe.optimizer)  # torch's second biases are frozen
        if first is not None:
            trainer.load(first)
        return built

    trained = model()
    first = side.Trainer(trained, recipe.optimizer).graph()
    found = {"biport": with_biport(side, recipe, data, trained, folder)}
    for name, naive in (("plain", False), ("naive", True)):
        if naive and recipe.max_length is not None:
            continue
        train = arranged(recipe, data, data.train, True, naive)
        validation = arranged(recipe, data, data.validation, False, naive)
        found[name] = PLAIN[framework](recipe, train, validation, model(first), folder)
    losses = {name: epoch() for name, epoch in found.items()}
    for name, loss in losses.items():
        if abs(loss - losses["biport"]) > ALLOWED:
            raise SystemExit(f"{framework}, {name}: a loss of {loss}, biport's is {losses['biport']}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--imdb", default=None, help="a folder aclImdb, its archive or imdb.npz")
    parser.add_argument(
        "--batches", type=int, default=8, help="of 128 rows to train on; of reviews three times as many"
    )
    parser.add_argument("--turns", type=int, default=5, help="at least")
    parser.add_argument("--frameworks", default="Keras,torch")
    parser.add_argument("--cases", default=None, help="all of them unless said")
    given = parser.parse_args()
    use_threads(1)
    known = cases(given.imdb, given.batches)
    chosen = given.cases.split("/") if given.cases else known
    print(machine("keras", "tensorflow", "torch"))
    print("one thread; ms an epoch, then times as long (of the shortest epochs)\n")
    head = ["", "biport", "plain", "naive", "biport / plain", "of processor time", "naive / plain"]
    print(markdown_table([head], "<>"), flush=True)
    for name, framework in itertools.product(chosen, given.frameworks.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            found: dict[str, Timed] = dict(epochs(framework, *known[name], Path(folder)))
            times = take_turns(found, seconds=0, least=given.turns)
        shown = [f"{times.median(one):.0f}" if one in found else "-" for one in ("biport", "plain", "naive")]
        ratio, of_processor = times.ratios("biport", "plain"), times.processor_ratio("biport", "plain")
        naive = times.ratios("naive", "plain") if "naive" in found else "-"
        row = [f"{name}, {framework}", *shown, ratio, f"{of_processor:.2f}", naive]
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()

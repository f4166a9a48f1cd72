"""The loop with a trainer of a few lines: batches, rates, best epochs, stopping and going on."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from biport.data import BatchPosition
from biport.errors import FileError, InputError
from biport.training import Batch, Recipe, Sums
from biport.training.data import TaskData, one_class
from biport.training.interruption import Interruption
from biport.training.loop import InterruptedRunError, Loop, Watcher, evaluate
from biport.training.optimizers import rate_at
from biport.training.progress import Progress, read_checkpoint, write_checkpoint

V = 7
RECIPE = Recipe(
    "tiny",
    "sentiment",
    "made",
    "sentiment",
    {},
    learning_rate=0.3,
    decay="cosine",
    epochs=3,
    batch_size=4,
    seed=5,
)


class Weighing:
    """Logistic regression on a bag of tokens, with momentum, and noise like that of dropout."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(3)
        self.w, self.v, self.draws = np.zeros(V), np.zeros(V), np.zeros(1)
        self.rates: list[float] = []
        self.rows: list[bytes] = []

    def step(self, batch: Batch, rate: float) -> Sums:
        self.rates.append(rate)
        self.rows.append(batch.inputs[0].tobytes())
        noise = np.random.default_rng(int(self.draws[0])).normal(size=V)
        self.draws += 1
        bag, p = self._p(batch)
        self.v = 0.9 * self.v - rate * (bag.T @ (p - batch.truth) / len(p) + 0.01 * noise)
        self.w = self.w + self.v
        return self._sums(p, batch)

    def _p(self, batch: Batch) -> tuple[NDArray, NDArray]:
        bag = np.stack([(batch.inputs[0] == token).sum(axis=1) for token in range(V)], axis=1) * 1.0
        bag[:, 0] = 1
        return bag, 1 / (1 + np.exp(-bag @ self.w))

    def _sums(self, p: NDArray, batch: Batch) -> Sums:
        of_truth = np.where(batch.truth == 1, p, 1 - p)
        return Sums(float(-np.log(of_truth).sum()), float((of_truth > 0.5).sum()), float(len(p)))

    def evaluate(self, batch: Batch) -> Sums:
        return self._sums(self._p(batch)[1], batch)

    def state(self) -> dict[str, NDArray]:
        return {"w": self.w.copy(), "v": self.v.copy(), "draws": self.draws.copy()}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        self.w, self.v, self.draws = (np.array(state[name]) for name in ("w", "v", "draws"))


def rows_of(rows: int, seed: int) -> tuple[list[list[int]], NDArray[np.int32]]:
    rng = np.random.default_rng(seed)
    tokens = [rng.integers(1, V, size=rng.integers(1, 6)).tolist() for _ in range(rows)]
    labels = [int((row.count(1) + row.count(2)) > row.count(3)) for row in tokens]
    return tokens, np.array(labels, np.int32)


DATA = TaskData(rows_of(18, 0), rows_of(9, 1), rows_of(10, 2), one_class, {})
BATCHES = 5


def run(folder: Path, progress: Progress, trainer: Weighing, **watching: object) -> list[int]:
    """Train, and tell after which epochs the model was the best one."""
    kept: list[int] = []
    loop = Loop(
        trainer,  # type: ignore[arg-type]
        RECIPE,
        DATA,
        progress,
        folder / "last",
        lambda: kept.append(len(progress.epochs)),
        Watcher(**watching),  # type: ignore[arg-type]
    )
    loop.run()
    return kept


def test_a_run_follows_its_recipe(tmp_path: Path) -> None:
    trainer, progress = Weighing(), Progress()
    told: list[tuple[int, int, int]] = []
    kept = run(tmp_path, progress, trainer, batch=lambda *batch: told.append(batch))
    assert told == [(done, BATCHES, epoch) for epoch in (1, 2, 3) for done in range(1, BATCHES + 1)]
    assert trainer.rates == [rate_at(step, 15, 0.3, "cosine") for step in range(15)]
    assert trainer.rates[0] == 0.3
    assert trainer.rates[-1] < 0.01
    expected = []
    batches = DATA.batches(DATA.train, RECIPE, BatchPosition())
    for _ in range(3):
        expected += [tokens.tobytes() for tokens, _ in batches]
    assert trainer.rows == expected
    assert trainer.rows[:BATCHES] != trainer.rows[BATCHES : 2 * BATCHES]

    losses = [epoch.validation_loss for epoch in progress.epochs]
    assert kept == [n for n in (1, 2, 3) if losses[n - 1] == min(losses[:n])]
    assert progress.best is progress.epochs[int(np.argmin(losses))]
    assert len(progress.seconds) == 3
    last = evaluate(trainer, RECIPE, DATA, DATA.validation)  # type: ignore[arg-type]
    assert progress.epochs[-1].validation_loss == last.mean_loss
    assert last.count == 9


@pytest.mark.parametrize("every", [1, 4, 7])
def test_a_run_that_stops_and_goes_on_is_the_same(every: int, tmp_path: Path) -> None:
    whole, progress = Weighing(), Progress()
    kept = run(tmp_path, progress, whole)
    expected = read_checkpoint(tmp_path / "last")
    (tmp_path / "last").unlink()

    write_checkpoint(tmp_path / "last", Weighing().state(), Progress())
    pieces, rows, asked = [], [], [0]

    def stop() -> bool:
        # Asked after every batch, those of the validation as well.
        asked[0] += 1
        return asked[0] == every

    while True:
        part, asked[0] = Weighing(), 0
        state, reached = read_checkpoint(tmp_path / "last")
        part.restore(state)
        before = len(reached.epochs)
        try:
            run(tmp_path, reached, part, stop=stop)
            break
        except InterruptedRunError:
            pieces.append(len(reached.epochs) - before)
        finally:
            rows += part.rows
        # One validation is three batches long: it starts anew as long as it is not allowed to end.
        every = every if every > 3 else every + 1

    assert len(pieces) > 2
    assert rows == whole.rows
    stored = read_checkpoint(tmp_path / "last")
    assert stored[1].epochs == expected[1].epochs == progress.epochs
    assert stored[1].position == expected[1].position == BatchPosition(3, 0)
    for name, array in expected[0].items():
        assert stored[0][name].tobytes() == array.tobytes()
    assert kept


def test_a_run_that_is_killed_goes_on_from_the_last_checkpoint(tmp_path: Path) -> None:
    whole = Weighing()
    progress = Progress()
    run(tmp_path, progress, whole)

    def die(done: int, total: int, epoch: int) -> None:
        if (done, epoch) == (3, 2):
            raise MemoryError

    with pytest.raises(MemoryError):
        run(tmp_path, Progress(), Weighing(), batch=die)
    state, reached = read_checkpoint(tmp_path / "last")
    assert (len(reached.epochs), reached.position) == (1, BatchPosition(1, 0))
    again = Weighing()
    again.restore(state)
    run(tmp_path, reached, again)
    assert reached.epochs == progress.epochs
    assert again.w.tobytes() == whole.w.tobytes()


def test_checkpoints_are_written_within_an_epoch(tmp_path: Path) -> None:
    seen: list[int] = []
    loop = Loop(
        Weighing(),  # type: ignore[arg-type]
        RECIPE,
        DATA,
        Progress(),
        tmp_path / "last",
        lambda: None,
        Watcher(batch=lambda done, *_: seen.append((tmp_path / "last").exists() and done)),
        save_seconds=0,
    )
    loop.run()
    assert seen[:3] == [False, 2, 3]


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    trainer = Weighing()
    trainer.w[:] = np.nan
    with pytest.raises(
        InputError, match=r"epoch 1, batch 1: the loss is nan; a lower learning rate than 0.3"
    ):
        run(tmp_path, Progress(), trainer)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "last"
    with pytest.raises(FileError, match="no checkpoint that can be read"):
        read_checkpoint(path)
    write_checkpoint(path, Weighing().state(), Progress())
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(FileError, match="no checkpoint that can be read"):
        read_checkpoint(path)
    from safetensors.numpy import save_file

    save_file({"w": np.zeros(2)}, path)
    with pytest.raises(FileError, match="not a checkpoint"):
        read_checkpoint(path)
    save_file({"w": np.zeros(2)}, path, {"format": "biport-checkpoint-1", "progress": '{"epochs": 3}'})
    with pytest.raises(FileError, match="damaged"):
        read_checkpoint(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["last"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_batch_to_end(number: int) -> None:
    before = signal.getsignal(number)
    with Interruption() as interruption:
        assert not interruption()
        signal.raise_signal(number)
        assert interruption()
        assert interruption.signal == number
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(number) is before

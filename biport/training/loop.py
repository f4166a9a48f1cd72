"""The loop over epochs, the same for both frameworks, which stops anywhere and goes on from there."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from biport.data import Batches
from biport.errors import InputError
from biport.training.data import Columns, TaskData
from biport.training.optimizers import rate_at
from biport.training.progress import Epoch, Progress, write_checkpoint
from biport.training.recipe import Recipe
from biport.training.trainer import Sums, Trainer

SAVE_SECONDS = 60.0
"""A checkpoint is written at least so often, so that a run which is killed loses no more."""


class InterruptedRunError(Exception):
    """The run was asked to stop, and has stored all it needs to go on."""


@dataclass(frozen=True)
class Watcher:
    """Who looks on.

    Args:
        batch: told of every batch: how many of how many are done, and which epoch it is.
        epoch: told of every epoch that is finished.
        stop: asked between batches whether to stop.
    """

    batch: Callable[[int, int, int], None] = lambda done, total, epoch: None
    epoch: Callable[[Epoch], None] = lambda epoch: None
    stop: Callable[[], bool] = lambda: False


class Loop:
    """Trains a model by a recipe.

    Args:
        trainer: the model in training.
        recipe: how long, with which rate, in which batches.
        data: on what.
        progress: where to start; changed as the run goes on.
        checkpoint: the file for what a run needs to go on.
        keep: called when the model is the best one so far.
        watcher: who looks on.
        save_seconds: how often the checkpoint is written within an epoch.
    """

    def __init__(
        self,
        trainer: Trainer,
        recipe: Recipe,
        data: TaskData,
        progress: Progress,
        checkpoint: Path,
        keep: Callable[[], None],
        watcher: Watcher | None = None,
        save_seconds: float = SAVE_SECONDS,
    ) -> None:
        self.trainer, self.recipe, self.data, self.progress = trainer, recipe, data, progress
        self.checkpoint, self.keep, self.watcher = checkpoint, keep, watcher or Watcher()
        self.save_seconds = save_seconds
        self._saved = self._counted = time.monotonic()

    def run(self) -> None:
        """Train until all epochs are done.

        Raises:
            InterruptedRunError: the watcher asked to stop; the checkpoint is written.
            InputError: the loss is no number any more.
        """
        batches = self.data.batches(self.data.train, self.recipe, self.progress.position)
        while len(self.progress.epochs) < self.recipe.epochs:
            # Behind its epoch's end: only the validation is missing.
            if batches.position.epoch == len(self.progress.epochs):
                self._train(batches)
            self._finish(self._validate())

    def _train(self, batches: Batches) -> None:
        """What is left of an epoch."""
        total = len(batches)
        steps = self.recipe.epochs * total
        epoch = batches.position.epoch
        done = batches.position.row // self.recipe.batch_size
        for rows in batches:
            rate = rate_at(epoch * total + done, steps, self.recipe.learning_rate, self.recipe.decay)
            sums = self.trainer.step(self.data.arrange(rows), rate)
            done += 1
            if not math.isfinite(sums.loss):
                raise InputError(
                    f"epoch {epoch + 1}, batch {done}: the loss is {sums.loss}; a lower learning rate than "
                    f"{self.recipe.learning_rate} or a clip_norm may help."
                )
            self.progress.partial += sums
            self.progress.position, self.progress.rate = batches.position, rate
            self.watcher.batch(done, total, epoch + 1)
            self._pause()

    def _validate(self) -> Sums:
        sums = Sums()
        for rows in self.data.batches(self.data.validation, self.recipe):
            sums += self.trainer.evaluate(self.data.arrange(rows))
            self._pause()
        return sums

    def _finish(self, validation: Sums) -> None:
        progress = self.progress
        epoch = Epoch(
            epoch=len(progress.epochs) + 1,
            learning_rate=progress.rate,
            loss=progress.partial.mean_loss,
            accuracy=progress.partial.accuracy,
            validation_loss=validation.mean_loss,
            validation_accuracy=validation.accuracy,
        )
        self._count()
        progress.epochs.append(epoch)
        progress.seconds.append(progress.spent)
        progress.partial, progress.spent = Sums(), 0.0
        # First the model: were the checkpoint written first and the run killed, it would never be.
        if progress.best is epoch:
            self.keep()
        self._save()
        self.watcher.epoch(epoch)

    def _pause(self) -> None:
        """Write the checkpoint where it is time, or the end."""
        stop = self.watcher.stop()
        if stop or time.monotonic() - self._saved >= self.save_seconds:
            self._count()
            self._save()
        if stop:
            raise InterruptedRunError

    def _count(self) -> None:
        now = time.monotonic()
        self.progress.spent += now - self._counted
        self._counted = now

    def _save(self) -> None:
        write_checkpoint(self.checkpoint, self.trainer.state(), self.progress)
        self._saved = time.monotonic()


def evaluate(trainer: Trainer, recipe: Recipe, data: TaskData, columns: Columns) -> Sums:
    """The sums over all rows of some columns, such as those to test on."""
    batches = data.batches(columns, recipe)
    return sum((trainer.evaluate(data.arrange(rows)) for rows in batches), Sums())

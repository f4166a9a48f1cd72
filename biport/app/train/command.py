"""``biport train`` and ``biport curves``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biport import bundle
from biport.app.junit import Suite, check_junit, gate_case, write_junit
from biport.app.progress import show_progress
from biport.app.stored import read_stored
from biport.app.train.imdb import imdb_file
from biport.compare.gate import check_limit, missed
from biport.errors import Argument, InputError, MissingDependencyError
from biport.graph import Graph
from biport.training import folder as files
from biport.training.curves import METRICS, check_picture, difference_gates, draw_curves
from biport.training.data import TaskData, load_data
from biport.training.exact import exact_matches
from biport.training.interruption import Interruption
from biport.training.loop import InterruptedRunError, Loop, Watcher, evaluate
from biport.training.progress import Epoch, read_checkpoint, write_checkpoint
from biport.training.progress import Progress as RunProgress
from biport.training.recipe import Recipe
from biport.training.trainer import Trainer

FRAMEWORKS = ("keras", "torch")


@dataclass(frozen=True)
class TrainingRun:
    """A run that is ready to start or to go on."""

    trainer: Trainer
    recipe: Recipe
    data: TaskData
    framework: str
    output: Path
    progress: RunProgress


def run_training(
    recipe: Recipe,
    *,
    framework: str,
    output: Path,
    initial: Path | None,
    resume: bool,
    force: bool,
    quiet: bool,
) -> tuple[dict[str, Any], str, int]:
    """Train, and write all that a run leaves; its result as data and as text, and the exit code.

    Raises:
        InputError: the recipe's data do not exist, the folder is not to be written to, or the run in it is
            another one.
        MissingDependencyError: the framework is not installed.
    """
    if resume:
        files.read_description(output)
    else:
        files.check_new(output, force)
    trainer_module = _side(framework)
    data = load_data(recipe, imdb_file(quiet) if recipe.data == "imdb" else None)
    settings = {**recipe.settings, **data.sizes}
    model = trainer_module.build(recipe.family, settings, recipe.dtype, recipe.seed)
    trainer = trainer_module.Trainer(model, recipe.optimizer, recipe.clip_norm)
    if initial is not None:
        trainer.load(_read_initial(initial).astype(recipe.dtype))
    begin = _resume if resume else _start
    run = TrainingRun(
        trainer, recipe, data, framework, output, begin(trainer, recipe, data, framework, output, initial)
    )
    with Interruption() as interruption, show_progress(quiet) as display:
        watcher = Watcher(
            lambda done, total, epoch: display.update(f"epoch {epoch}", done, total),
            lambda epoch: display.line(_line(epoch)),
            interruption,
        )
        try:
            _loop(run, watcher).run()
        except InterruptedRunError:
            return _interrupted(run, interruption.signal or 2)
        except InputError:
            _write_best(run)
            raise
    return _finished(run)


def _side(framework: str) -> Any:
    """``keras_side.train`` or ``torch_side.train``, and never both."""
    if framework not in FRAMEWORKS:
        raise InputError(Argument("framework", framework), f": it is one of {', '.join(FRAMEWORKS)}.")
    if framework == "keras":
        from keras_side.require import require_keras

        require_keras()
        from keras_side import train
    else:
        from torch_side import train
    return train


def _read_initial(path: Path) -> Graph:
    if path.is_dir():
        return read_stored(path)
    import keras_side

    return keras_side.read(path)


def _start(
    trainer: Trainer, recipe: Recipe, data: TaskData, framework: str, output: Path, initial: Path | None
) -> RunProgress:
    graph = trainer.graph()
    progress = RunProgress()
    with files.started(output):
        for name, vocabulary in data.vocabularies.items():
            vocabulary.save(output / name)
        bundle.write(graph, output / files.INITIAL)
        write_checkpoint(output / files.LAST, trainer.state(), progress)
        files.write_description(output, _description(framework, recipe, data, graph))
    return progress


def _resume(
    trainer: Trainer, recipe: Recipe, data: TaskData, framework: str, output: Path, initial: Path | None
) -> RunProgress:
    # Without --init, the first weights are those that the run has stored.
    graph = trainer.graph() if initial is not None else bundle.read(output / files.INITIAL)
    files.check_same(output, _description(framework, recipe, data, graph))
    state, progress = read_checkpoint(output / files.LAST)
    trainer.restore(state)
    return progress


def _description(framework: str, recipe: Recipe, data: TaskData, graph: Graph) -> dict[str, Any]:
    return files.describe(framework, recipe.to_json(), data.summary(), graph.digest())


def _loop(run: TrainingRun, watcher: Watcher) -> Loop:
    def keep() -> None:
        # To read a module takes longer than many a batch: that is done once, of the best.
        write_checkpoint(run.output / files.BEST, run.trainer.state(), run.progress)

    def epoch(finished: Epoch) -> None:
        files.write_history(run.output, _history(run))
        watcher.epoch(finished)

    shown = Watcher(watcher.batch, epoch, watcher.stop)
    checkpoint = run.output / files.LAST
    return Loop(run.trainer, run.recipe, run.data, run.progress, checkpoint, keep, shown)


def _write_best(run: TrainingRun) -> None:
    """The model of the best epoch, where it is not written yet; the trainer has its weights then."""
    best = run.output / files.BEST
    if best.exists():
        run.trainer.restore(read_checkpoint(best)[0])
        bundle.write(run.trainer.graph(), run.output / files.MODEL, overwrite=True)
        run.trainer.save(run.output)
        best.unlink()


def _history(run: TrainingRun, test: Mapping[str, float] | None = None) -> dict[str, Any]:
    progress = run.progress
    best = progress.best
    return {
        "epochs": [vars(epoch) for epoch in progress.epochs],
        "best": None if best is None else best.epoch,
        "test": None if test is None else dict(test),
        "seconds": progress.seconds,
    }


def _interrupted(run: TrainingRun, signal: int) -> tuple[dict[str, Any], str, int]:
    _write_best(run)
    done, all_epochs = len(run.progress.epochs), run.recipe.epochs
    text = (
        f"interrupted after {done} of {all_epochs} epochs; the same command with --resume goes on from there"
    )
    return _data(run) | {"finished": False}, text, 128 + signal


def _finished(run: TrainingRun) -> tuple[dict[str, Any], str, int]:
    best = run.progress.best
    assert best is not None
    _write_best(run)
    run.trainer.load(bundle.read(run.output / files.MODEL))
    test = _test(run)
    files.write_history(run.output, _history(run, test))
    notes = []
    try:
        title = files.model_name(run.output)
        draw_curves({run.framework: run.progress.epochs}, run.output / files.CURVES, title)
    except MissingDependencyError as error:
        notes.append(f"no {files.CURVES}: {error}")
    lines = [
        f"best epoch {best.epoch}: validation loss {best.validation_loss:.4f}, "
        f"accuracy {best.validation_accuracy:.2%}",
        f"test loss {test['loss']:.4f}, accuracy {test['accuracy']:.2%}"
        + (f", {test['exact']:.2%} of sequences exact" if "exact" in test else ""),
        f"{run.output}: {run.recipe.epochs} epochs in {sum(run.progress.seconds):.0f} s",
        *notes,
    ]
    return _data(run, test) | {"finished": True, "notes": notes}, "\n".join(lines), 0


def _test(run: TrainingRun) -> dict[str, float]:
    """What the model makes of the rows for testing."""
    sums = evaluate(run.trainer, run.recipe, run.data, run.data.test)
    figures = {"loss": sums.mean_loss, "accuracy": sums.accuracy}
    if run.recipe.task == "seq2seq":
        rows: Any = run.data.test
        sources, targets = rows
        right, count = exact_matches(run.trainer.stepper(), sources, targets, run.recipe.max_length)
        figures["exact"] = right / max(count, 1)
    return figures


def _data(run: TrainingRun, test: Mapping[str, float] | None = None) -> dict[str, Any]:
    return {
        "output": str(run.output),
        "framework": run.framework,
        "recipe": run.recipe.to_json(),
        **_history(run, test),
    }


def _line(epoch: Epoch) -> str:
    return (
        f"epoch {epoch.epoch:>3}  loss {epoch.loss:.4f}  accuracy {epoch.accuracy:.2%}  "
        f"validation loss {epoch.validation_loss:.4f}  accuracy {epoch.validation_accuracy:.2%}"
    )


def run_curves(
    runs: Sequence[Path],
    output: Path | None,
    force: bool,
    *,
    max_difference: float | None = None,
    metrics: Sequence[str] = (),
    junit: Path | None = None,
) -> tuple[dict[str, Any], str, bool]:
    """Draw the curves of some runs, or compare them; the result as data and as text, and whether all is well.

    Args:
        runs: folders.
        output: the picture; ``None`` for none.
        force: whether files that are there are replaced.
        max_difference: the most that a run may be off the first one in any epoch.
        metrics: of `biport.training.curves.METRICS` those that are compared; by default all.
        junit: a file for what came of it.

    Raises:
        InputError: there is nothing to do; a folder holds no run, or one of fewer epochs; the picture cannot
            be written.
        MissingDependencyError: matplotlib is not installed.
    """
    _check_asked(runs, output, max_difference, metrics, junit)
    if output is not None:
        check_picture(output, force)
    check_junit(junit, force)
    # By the folders' names, where those are enough to tell them apart.
    short = len({run.name for run in runs}) == len(runs)
    histories = {run.name if short else str(run): files.read_history(run) for run in runs}
    gates = [] if max_difference is None else difference_gates(histories, metrics or METRICS, max_difference)
    if output is not None:
        draw_curves(histories, output, ", ".join(dict.fromkeys(map(files.model_name, runs))))
    write_junit(junit, "biport curves", [Suite("curves", [gate_case(gate) for gate in gates])])
    epochs = {label: len(history) for label, history in histories.items()}
    counted = ", ".join(f"{label} ({count} epochs)" for label, count in epochs.items())
    lines = [f"gate: {gate.text}" for gate in gates]
    lines.append(f"{output}: {counted}" if output is not None else f"compared: {counted}")
    ok = not missed(gates)
    data = {
        "output": None if output is None else str(output),
        "runs": epochs,
        "ok": ok,
        "gates": [gate.to_json() for gate in gates],
    }
    return data, "\n".join(lines), ok


def _check_asked(
    runs: Sequence[Path],
    output: Path | None,
    max_difference: float | None,
    metrics: Sequence[str],
    junit: Path | None,
) -> None:
    """Refuse what does not go together.

    Raises:
        InputError: naming it.
    """
    limit = Argument("max_difference")
    check_limit("max_difference", max_difference)
    if output is None and max_difference is None:
        raise InputError(
            "curves are drawn, ", Argument("output"), ", or compared, ", limit, "; neither is said"
        )
    if max_difference is not None and len(runs) < 2:
        raise InputError(
            limit, ": goes with two runs or more, the first of which the others are compared with"
        )
    twice = [
        run for number, run in enumerate(runs) if run.resolve() in {one.resolve() for one in runs[:number]}
    ]
    if twice and max_difference is not None:
        raise InputError(f"{twice[0]}: is given twice; a run is compared with another")
    for name, given in (("metric", metrics), ("junit", junit)):
        if given and max_difference is None:
            raise InputError(Argument(name), ": goes with ", limit)

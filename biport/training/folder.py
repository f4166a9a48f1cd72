"""The folder of a training run.

recipe.json             the recipe, the framework, and what the data came to
vocabulary.json         or source_vocabulary.json and target_vocabulary.json
initial/                the first weights, a bundle: what a run in the other framework starts from
last.safetensors        what the run needs to go on
best.safetensors        the state of the best epoch until model/ is written of it, at the end or at a stop
model/, model.keras     the best model, a bundle, and what Keras itself writes
history.json            loss and accuracy of every epoch, and of the best model on the rows for testing
curves.png              the same as a picture
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from biport.errors import Argument, FileError, InputError
from biport.files import check_folder_name, is_draft, new_folder
from biport.json_file import read_json, write_json
from biport.training.progress import Epoch
from biport.training.recipe import differences
from biport.version import __version__

RECIPE, INITIAL, MODEL = "recipe.json", "initial", "model"
LAST, BEST = "last.safetensors", "best.safetensors"
HISTORY, CURVES = "history.json", "curves.png"
OWN_FILES = (
    *(RECIPE, INITIAL, LAST, BEST, MODEL, "model.keras", HISTORY, CURVES),
    *("vocabulary.json", "source_vocabulary.json", "target_vocabulary.json"),
)
FORMAT = "biport-training-1"


def check_new(folder: Path, force: bool) -> None:
    """Refuse a folder in which something is, or with ``force`` something else than a run.

    Raises:
        InputError: it is not to be written to.
    """
    check_folder_name(folder)
    present = sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []
    strange = [name for name in present if name not in OWN_FILES and not _is_draft(name)]
    if strange or (present and not force):
        refusal = f"{folder}: holds {', '.join((strange or present)[:3])}; "
        if strange:
            raise InputError(f"{refusal}give an empty folder")
        anew, on = Argument("force", True), Argument("resume", True)
        raise InputError(f"{refusal}use ", anew, " to replace the run, ", on, " to go on")


def _is_draft(name: str) -> bool:
    """What a run that was killed while it wrote may leave."""
    return any(is_draft(name, own) for own in OWN_FILES)


@contextmanager
def started(folder: Path) -> Iterator[None]:
    """A folder that is made, or emptied of an earlier run; one that cannot start leaves nothing in it.

    Raises:
        FileError: it cannot be made.
    """
    with new_folder(folder):
        _clear(folder)
        try:
            yield
        except BaseException:
            _clear(folder)
            raise


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def describe(
    framework: str, recipe: Mapping[str, Any], data: Mapping[str, Any], digest: str
) -> dict[str, Any]:
    """What makes a run what it is; ``digest`` is that of the first weights."""
    return {
        "framework": framework,
        "recipe": dict(recipe),
        "data": dict(data),
        "initial": digest,
    }


def write_description(folder: Path, description: Mapping[str, Any]) -> None:
    """Write ``recipe.json``, which says that the run is there: the last file before training."""
    write_json(folder / RECIPE, {"format": FORMAT, "biport": __version__, **description})


def read_description(folder: Path) -> dict[str, Any]:
    """What `write_description` wrote.

    Raises:
        InputError: there is no run in the folder.
        FileError: the file is damaged.
    """
    if not (folder / RECIPE).is_file():
        raise InputError(f"{folder}: holds no training run to go on with or to draw")
    content = read_json(folder / RECIPE)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise FileError(f'{folder / RECIPE}: not that of a training run, which says "format": "{FORMAT}"')
    return content


def model_name(folder: Path) -> str:
    """What the model of a run is called: its recipe and the data.

    Raises:
        InputError: there is no run in the folder.
        FileError: the file is damaged.
    """
    recipe = read_description(folder).get("recipe")
    if not isinstance(recipe, dict):
        raise FileError(f"{folder / RECIPE}: does not describe a recipe")
    return f"{recipe.get('task')}, recipe {recipe.get('name')} on {recipe.get('data')}"


def check_same(folder: Path, description: Mapping[str, Any]) -> None:
    """Refuse to go on with a run that is another one.

    Raises:
        InputError: naming every difference.
    """
    stored = read_description(folder)
    changes = differences({key: stored.get(key) for key in description}, description)
    if changes:
        raise InputError(f"{folder}: the run there is another one: {'; '.join(changes)}")


def write_history(folder: Path, content: Mapping[str, Any]) -> None:
    """Write ``history.json``."""
    write_json(folder / HISTORY, content)


def read_history(folder: Path) -> list[Epoch]:
    """The epochs of a run.

    Raises:
        InputError: there is no run in the folder, or it has no epoch yet.
        FileError: the file is damaged.
    """
    content = read_whole_history(folder)
    try:
        return [Epoch(**epoch) for epoch in content["epochs"]]
    except (KeyError, TypeError) as error:
        raise FileError(f"{folder / HISTORY}: does not describe epochs ({error!r})") from error


def read_whole_history(folder: Path) -> dict[str, Any]:
    """All that a run wrote down: ``epochs``, ``best``, ``seconds``, and ``test`` once it is finished.

    Raises:
        InputError: there is no run in the folder, or it has no epoch yet.
        FileError: the file is damaged.
    """
    read_description(folder)
    if not (folder / HISTORY).is_file():
        raise InputError(f"{folder}: the run there has finished no epoch yet")
    content = read_json(folder / HISTORY)
    if not isinstance(content, dict) or {"epochs", "seconds", "test"} - content.keys():
        raise FileError(f"{folder / HISTORY}: does not describe a run")
    return content

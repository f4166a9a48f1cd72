"""The optional packages, by the extra of ``pyproject.toml`` that brings them; what to type without them."""

from __future__ import annotations

import platform
from importlib import metadata

from biport.errors import MissingDependencyError
from biport.version import __version__

EXTRAS = {
    "keras": ("tensorflow", "keras"),
    "torch": ("torch",),
    "export": ("onnx", "onnx-ir", "tf2onnx"),
    "cpu": ("onnxruntime",),
    "gpu": ("onnxruntime-gpu",),
    "images": ("pillow",),
    "parquet": ("pyarrow",),
    "ray": ("ray[data]",),
    "service": ("fastapi", "uvicorn"),
    "train": ("matplotlib",),
    "matrix": ("jinja2",),
    "report": ("jinja2",),
}
"""The packages of each extra, as an index calls them."""
COMPARED = (
    *("keras", "tf_keras", "tensorflow", "torch", "onnx", "onnx-ir", "tf2onnx"),
    *("onnxruntime", "onnxruntime-gpu", "numpy"),
)
"""The packages that numbers hang on."""


def remedy(extra: str) -> str:
    """What to type: the packages themselves, which work wherever biport was installed from."""
    names = " ".join(f"'{name}'" if "[" in name else name for name in EXTRAS[extra])
    return f"pip install {names}, or in biport's own folder pip install '.[{extra}]'"


def missing(what: str, extra: str) -> MissingDependencyError:
    """The error for a package that is not installed.

    Args:
        what: what is not installed, and what for.
        extra: of `EXTRAS`.

    Example:
        >>> str(missing("'jinja2' is not installed", "matrix"))
        "'jinja2' is not installed: pip install jinja2, or in biport's own folder pip install '.[matrix]'"
    """
    return MissingDependencyError(f"{what}: {remedy(extra)}")


def missing_module(name: str) -> MissingDependencyError:
    """The error for a module that Python did not find, called as in ``import``."""
    package = name.partition(".")[0]
    wanted = package.replace("_", "-")
    for extra, packages in EXTRAS.items():
        if wanted in {one.partition("[")[0] for one in packages}:
            return missing(f"{package!r} is not installed", extra)
    return MissingDependencyError(f"{package!r} is not installed: pip install {wanted}")


def installed_versions() -> dict[str, str]:
    """The versions of biport, Python and those of `COMPARED` that are installed; none is imported."""
    installed = {"biport": __version__, "python": platform.python_version()}
    for package in COMPARED:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed

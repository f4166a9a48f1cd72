"""TensorFlow's own log, which is not what somebody who typed a command wants to read."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import logging
import os
import sys
from types import ModuleType
from typing import Any

PACKAGE = "tensorflow"


def quiet_tensorflow() -> None:
    """Keep off the terminal what TensorFlow logs, now and once it is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if PACKAGE not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds TensorFlow as all others do, and has it loaded in silence."""

    def find_spec(
        self, fullname: str, path: Any, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != PACKAGE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        from keras_side.require import quiet_stderr

        # Whatever the level is, its C++ side prints some lines before the level is looked at.
        with quiet_stderr():
            self.loader.exec_module(module)
        for name in (PACKAGE, "absl"):
            logging.getLogger(name).setLevel(logging.ERROR)

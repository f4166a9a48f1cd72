"""Options that several commands share, given to each by a decorator."""

from __future__ import annotations

import builtins
import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from biport.app.cli.app import Result

Given = dict[str, Any]
"""Arguments of a command by name."""


class _Types(dict[str, Any]):
    """What a command's annotations may name: types that are imported for checking alone are any object."""

    def __init__(self, function: Callable[..., Result]) -> None:
        super().__init__()
        self._known = {*inspect.unwrap(function).__globals__, *vars(builtins)}

    def __missing__(self, name: str) -> Any:
        if name in self._known:
            raise KeyError(name)
        return object


def add_options(
    function: Callable[..., Result],
    options: Mapping[str, Any],
    gather: Callable[[Given, Given], None],
    hidden: Collection[str] = (),
) -> Callable[..., Result]:
    """Give a command options that it does not name itself.

    Args:
        function: the command.
        options: their annotations by name.
        gather: called with what was given for them, and with the other arguments of the command, to which it
            adds what it makes of them.
        hidden: the names of arguments of the command that ``gather`` makes.

    Returns:
        The command with these options behind its own.
    """
    signature = inspect.signature(function, eval_str=True, locals=_Types(function))

    @functools.wraps(function)
    def command(**given: Any) -> Result:
        added = {name: given.pop(name) for name in options}
        gather(added, given)
        return function(**given)

    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in options.items()
    ]
    own = [
        parameter.replace(kind=parameter.KEYWORD_ONLY)
        for name, parameter in signature.parameters.items()
        if name not in hidden
    ]
    parameters = [*own, *more]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command

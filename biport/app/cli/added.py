"""Options that several commands share, given to each by a decorator."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from biport.app.cli.app import Result

Given = dict[str, Any]
"""Arguments of a command by name."""


def add_options(
    function: Callable[..., Result],
    options: Mapping[str, Any],
    gather: Callable[[Given, Given], None],
    hidden: Mapping[str, object] = {},
) -> Callable[..., Result]:
    """Give a command options that it does not name itself.

    Args:
        function: the command.
        options: their annotations by name.
        gather: called with what was given for them, and with the other arguments of the command, to which it
            adds what it makes of them.
        hidden: arguments of the command that ``gather`` makes, by name, and what their types are taken for.

    Returns:
        The command with these options behind its own.
    """
    # Types that are imported for checking alone are no names when the program runs.
    names = {str(function.__annotations__[name]): known for name, known in hidden.items()}
    signature = inspect.signature(function, eval_str=True, locals=names)

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

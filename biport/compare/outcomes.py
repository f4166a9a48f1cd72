"""What a form gives for every case, or why it gives nothing, and how far that is from the oracle's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from biport.compare.tolerance import Error, measure
from biport.errors import BiportError

Results = Mapping[str, Sequence[np.ndarray]]
"""The outputs of every case, in order."""


def run_all(
    run: Callable[[list[np.ndarray]], Sequence[np.ndarray]],
    cases: Mapping[str, Sequence[np.ndarray]],
    raised: tuple[type[BiportError], ...] = (),
) -> Results | str:
    """Outputs by case, or what went wrong, but for errors that are to be ``raised``."""
    try:
        return {case: run(list(arrays)) for case, arrays in cases.items()}
    except raised:
        raise
    except BiportError as error:
        return str(error)
    except Exception as error:  # A foreign runtime may raise anything; whatever it is, it is a finding.
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def errors_of(results: Results | str, oracle: Results, outputs: int, absolute: bool = False) -> list[Error]:
    """The error of each output over all cases.

    Args:
        results: as `run_all` gives them.
        oracle: what the oracle gave.
        outputs: how many there are.
        absolute: as for `measure`.
    """
    if isinstance(results, str):
        return [Error(float("inf"), float("inf"), note=results)] * outputs
    if any(len(arrays) != outputs for arrays in results.values()):
        given = len(next(iter(results.values())))
        return [Error(float("inf"), float("inf"), note=f"{given} outputs instead of {outputs}")] * outputs
    return [
        measure(
            {case: arrays[position] for case, arrays in results.items()},
            {case: exact[position] for case, exact in oracle.items()},
            absolute,
        )
        for position in range(outputs)
    ]

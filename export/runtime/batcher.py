"""Dynamic batching: what is asked at the same time, by whomever, goes through the model together."""

from __future__ import annotations

import atexit
import math
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from biport.errors import InputError, UnavailableError
from export.runtime import streams
from export.runtime.batching import InputRow, batches, stack
from export.runtime.signature import Signature

MAX_ROWS, MAX_WAITING = 64, 1024
"""Rows in a batch, and rows that may wait: `benchmarks/service.py`."""


class Batcher:
    """Requests of several threads or tasks, answered by batches of a model; `Session.batcher` makes one.

    A worker takes what waits, as many rows as a batch may have, in turn a row of each request: a request of
    many rows does not keep small ones waiting. The numbers are those of `Session.predict`: rows of several
    lengths go together only where the model does not see padding. Rows are checked before they wait, and
    where a batch fails all the same, each of its requests is run by itself: the error of one is of that one.

    Every future is answered, fails, or is cancelled, also when the batcher is closed, which happens by itself
    when the process ends. A caller that gives up cancels its future; what waits of it then is not run.
    Threads do not survive a fork: processes that are forked make a session and a batcher each.

    Args:
        signature: what the model takes and gives.
        run: gives the outputs of a batch; called by several threads where there are several workers.
        answer: what callers are given of the outputs for a row.
        max_rows: how many rows a worker takes at once.
        max_tokens: the steps in a batch, N · T, at most; a longer row is a batch by itself.
        max_delay: seconds that a request waits for others, at most, while a worker is free.
        max_waiting: how many rows may wait for a worker.
        workers: how many batches are in flight.
        truncate: cut rows that are too long for a model of fixed length.
        call: what running a batch costs, see `export.runtime.batching.call_cost`.

    Raises:
        InputError: a number is too small; or a model whose rows cannot be batched, see `Session.predict`.

    Example:
        >>> import tempfile
        >>> from biport.graph import Graph, Node, Value
        >>> from biport.ops import Reduction
        >>> import export
        >>> inputs = (Value("x", ("N", "T"), "float32"),)
        >>> nodes = (Node("sum", Reduction(function="sum", axes=(1,), keepdims=False), ("x",)),)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = export.write(Graph(inputs, nodes, ("sum",)), f"{folder}/sum.onnx")
        ...     session = export.Session(f"{folder}/sum.onnx", threads=1)
        >>> with session.batcher(max_delay=0.002) as batcher:
        ...     futures = [batcher.submit([[1.0, 0.5], [number]]) for number in (2.0, 3.0)]
        ...     [[float(total) for (total,) in future.result()] for future in futures]
        [[1.5, 2.0], [1.5, 3.0]]
    """

    def __init__(
        self,
        signature: Signature,
        run: Callable[[np.ndarray], Sequence[np.ndarray]],
        *,
        answer: Callable[[streams.Outputs], Any] = lambda result: result,
        max_rows: int = MAX_ROWS,
        max_tokens: int = streams.TOKENS,
        max_delay: float = 0.0,
        max_waiting: int = MAX_WAITING,
        workers: int = 1,
        truncate: bool = False,
        call: float = math.inf,
    ) -> None:
        streams.check_numbers(
            max_rows=max_rows, max_tokens=max_tokens, max_waiting=max_waiting, workers=workers
        )
        if not 0 <= max_delay <= threading.TIMEOUT_MAX:
            raise InputError(f"max_delay should be seconds, 0 or more, found {max_delay}")
        self._signature = signature
        self._prepare = streams.preparation(signature, truncate)
        self._delay = max_delay
        self._queue = _Queue(max_rows, max_waiting)
        model = _Model(signature, run, answer, max_tokens, call, self._queue)
        # Daemons, and closed when the process ends, before daemons are. They know the queue and not the
        # batcher, so that one that nobody has any more ends as well.
        self._threads = [
            threading.Thread(target=model.serve, name=f"biport-batcher-{number}", daemon=True)
            for number in range(workers)
        ]
        weakref.finalize(self, self._queue.close).atexit = False
        _open.add(self)
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """How many rows wait for a worker."""
        return self._queue.rows

    def submit(self, rows: Iterable[Any]) -> Future[list[Any]]:
        """Ask for the answers to some rows; ``asyncio.wrap_future`` makes what it gives awaitable.

        Texts become ids here, in the thread that calls.

        Args:
            rows: as for `Session.predict`. They may go through the model in several batches.

        Returns:
            In the end an answer for each row, in their order. ``cancel`` gives them up until they are there.
            An error of one of them is the error of all.

        Raises:
            RowError: a row that the model does not take.
            InputError: more rows than may wait.
            UnavailableError: too many rows wait already, or the batcher is closed.
        """
        if isinstance(rows, str):
            raise InputError("submit takes several rows, found one text; put it in a list")
        # What would not be taken is not worth making ids of.
        self._queue.check(0)
        prepared = list(self._prepare(rows))
        for row in prepared:
            streams.check_row(self._signature, row)
        request = _Request(prepared, time.monotonic() + self._delay)
        if prepared:
            self._queue.put(request)
        else:
            request.future.set_result([])
        return request.future

    def close(self, cancel: bool = False) -> None:
        """Take nothing more, and return when everything is answered.

        Args:
            cancel: cancel what is not answered yet.
        """
        self._queue.close(cancel)
        for thread in self._threads:
            # A caller may close it as soon as its future is there, in the thread that set it.
            if thread is not threading.current_thread():
                thread.join()

    def __enter__(self) -> Batcher:
        return self

    def __exit__(self, *error: object) -> None:
        self.close(cancel=error[0] is not None)


_open: weakref.WeakSet[Batcher] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for batcher in list(_open):
        batcher.close()


@dataclass(eq=False)
class _Request:
    """The rows of one caller.

    Args:
        rows: as the model takes them.
        due: when they go, however few wait; of the clock `time.monotonic`.
        future: what the caller waits for.
        taken: how many rows are or were in batches.
        answers: of the rows that went through the model, by their numbers.
        settled: whether the caller has been told, or is about to be.
    """

    rows: Sequence[InputRow]
    due: float
    future: Future[list[Any]] = field(default_factory=Future)
    taken: int = 0
    answers: dict[int, Any] = field(default_factory=dict)
    settled: bool = False

    @property
    def waiting(self) -> int:
        """How many rows no batch has taken yet."""
        return len(self.rows) - self.taken

    def tell(self, error: Exception | None = None) -> None:
        """Give the caller the answers or the error, unless it has given up."""
        if not self.future.set_running_or_notify_cancel():
            return
        if error is None:
            self.future.set_result([self.answers[number] for number in range(len(self.rows))])
        else:
            self.future.set_exception(error)


BatchRow = tuple[_Request, int]
"""A row of a batch: whose, and which of its rows."""


class _Queue:
    """Requests in the order of their arrival: all that threads share, under one lock."""

    def __init__(self, max_rows: int, max_waiting: int) -> None:
        self._max_rows = max_rows
        self._max_waiting = max_waiting
        self._requests: deque[_Request] = deque()
        self._rows = 0
        self._changed = threading.Condition()
        self._closed = False

    @property
    def rows(self) -> int:
        """How many rows wait."""
        return self._rows

    def check(self, count: int) -> None:
        """Refuse ``count`` more rows where they may not wait.

        Raises:
            InputError: they never may.
            UnavailableError: they may not now.
        """
        with self._changed:
            self._check(count)

    def put(self, request: _Request) -> None:
        """Have a request wait; raises as `check`."""
        with self._changed:
            self._check(len(request.rows))
            self._requests.append(request)
            self._rows += len(request.rows)
            # Others are seen by the worker that the first one woke.
            if len(self._requests) == 1 or self._rows >= self._max_rows:
                self._changed.notify()

    def take(self) -> list[BatchRow]:
        """The rows of the next batch, once there are any; none when the queue is closed and empty."""
        with self._changed:
            while True:
                self._drop_settled()
                if self._requests:
                    delay = self._requests[0].due - time.monotonic()
                    if delay <= 0 or self._closed or self._rows >= self._max_rows:
                        return self._next()
                    self._changed.wait(delay)
                elif self._closed:
                    return []
                else:
                    self._changed.wait()

    def live(self, rows: Sequence[BatchRow]) -> list[BatchRow]:
        """The rows that somebody still waits for."""
        with self._changed:
            return [row for row in rows if not self._given_up(row[0])]

    def answer(self, rows: Sequence[BatchRow], answers: Sequence[Any]) -> None:
        """Note what the model gave, and tell those who have all of theirs."""
        complete: list[_Request] = []
        with self._changed:
            for (request, number), answer in zip(rows, answers, strict=True):
                request.answers[number] = answer
                if len(request.answers) == len(request.rows) and self._settle(request):
                    complete.append(request)
        # Whoever waits may do anything when told, so not under the lock.
        for request in complete:
            request.tell()

    def fail(self, request: _Request, error: Exception) -> None:
        """Tell a caller that a row failed; those left of the request are not run."""
        with self._changed:
            first = self._settle(request)
        if first:
            request.tell(error)

    def close(self, cancel: bool = False) -> None:
        """Take nothing more; with ``cancel``, cancel what still waits."""
        with self._changed:
            self._closed = True
            dropped = [request for request in self._requests if cancel and self._settle(request)]
            self._drop_settled()
            self._changed.notify_all()
        for request in dropped:
            request.future.cancel()
            request.tell()

    def _check(self, count: int) -> None:
        if self._closed:
            raise UnavailableError("the batcher is closed")
        if count > self._max_waiting:
            raise InputError(f"up to {self._max_waiting} rows may wait, found {count} in one request")
        if self._rows + max(count, 1) > self._max_waiting:
            self._drop_settled()
            if self._rows + max(count, 1) > self._max_waiting:
                raise UnavailableError(
                    f"{self._rows} rows wait, of {self._max_waiting} that may; try again later"
                )

    def _next(self) -> list[BatchRow]:
        rows: list[BatchRow] = []
        while self._requests and len(rows) < self._max_rows:
            for request in list(self._requests)[: self._max_rows - len(rows)]:
                rows.append((request, request.taken))
                request.taken += 1
            self._requests = deque(request for request in self._requests if request.waiting)
        self._rows -= len(rows)
        if self._requests:
            self._changed.notify()
        return rows

    def _drop_settled(self) -> None:
        dropped = [request for request in self._requests if self._given_up(request)]
        if dropped:
            self._rows -= sum(request.waiting for request in dropped)
            self._requests = deque(request for request in self._requests if not request.settled)

    def _given_up(self, request: _Request) -> bool:
        """Whether nobody waits for it any more: it failed, or was cancelled."""
        if request.future.cancelled() and self._settle(request):
            request.tell()
        return request.settled

    def _settle(self, request: _Request) -> bool:
        """Whether it was not settled before."""
        first, request.settled = not request.settled, True
        return first


@dataclass(frozen=True)
class _Model:
    """What workers do; the arguments are those of `Batcher`."""

    signature: Signature
    run: Callable[[np.ndarray], Sequence[np.ndarray]]
    answer: Callable[[streams.Outputs], Any]
    max_tokens: int
    call: float
    queue: _Queue

    def serve(self) -> None:
        """Answer what there is until the queue is closed."""
        while taken := self.queue.take():
            rows = [request.rows[number] for request, number in taken]
            for indices in batches(rows, self.max_tokens, self.call, streams.batch_size(self.signature)):
                self._answer([taken[index] for index in indices])

    def _answer(self, rows: Sequence[BatchRow]) -> None:
        rows = self.queue.live(rows)
        if not rows:
            return
        try:
            answers = self._answers([request.rows[number] for request, number in rows])
        except Exception as error:
            requests = list(dict.fromkeys(request for request, _ in rows))
            if len(requests) == 1:
                self.queue.fail(requests[0], error)
                return
            for request in requests:
                self._answer([row for row in rows if row[0] is request])
        else:
            self.queue.answer(rows, answers)

    def _answers(self, rows: Sequence[InputRow]) -> list[Any]:
        (value,) = self.signature.inputs
        outputs = self.run(stack(value, rows))
        return [self.answer(result) for result in streams.divide(self.signature, outputs, rows)]

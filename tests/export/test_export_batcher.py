"""`Batcher`: everybody gets their own answer or error, whoever else asks, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import doctest
import gc
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import export
from biport import ops
from biport.analysis.lengths import Least
from biport.errors import FileError, InputError, UnavailableError
from biport.graph import Graph, Node, Value
from export.runtime import batcher as batcher_module
from export.runtime.batcher import Batcher
from export.runtime.signature import Signature
from testing.onnx_graphs import H, I, V, bidirectional, chain, exported, lstm

SOON = 20
"""Seconds after which something that should happen at once did not."""


def signature(inputs: list[Value], outputs: list[Value], **known: Any) -> Signature:
    """Of a model of which nothing else is known."""
    nothing: dict[str, Any] = {field.name: {} for field in dataclasses.fields(Signature)}
    given = {"labels": None, "unsaid": "", "inputs": inputs, "outputs": outputs, **known}
    return Signature(**{**nothing, **given})


class Model:
    """The sum of a row's ids; an id of 99 makes a batch fail. Batches wait at the gate until it opens."""

    signature = signature(
        [Value("ids", ("N", "T"), "int64")],
        [Value("sum", ("N",), "float64")],
        bounds={"ids": 100},
        needs_steps={"ids": Least(1)},
        time_axes={"sum": ()},
    )

    def __init__(self, open: bool = True) -> None:
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.batches: list[list[list[int]]] = []
        if open:
            self.gate.set()

    def __call__(self, ids: np.ndarray) -> list[np.ndarray]:
        self.batches.append(ids.tolist())
        self.entered.release()
        assert self.gate.wait(SOON)
        if (ids == 99).any():
            raise ValueError(f"99 in a batch of {len(ids)}")
        return [ids.sum(1).astype("float64")]

    def batcher(self, **options: Any) -> Batcher:
        return Batcher(self.signature, self, **options)

    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]


def busy(**options: Any) -> tuple[Model, Batcher, concurrent.futures.Future]:
    """A batcher whose worker is in the middle of a batch of one row, until the gate opens."""
    model = Model(open=False)
    batcher = model.batcher(**options)
    first = batcher.submit([[1]])
    assert model.entered.acquire(timeout=SOON)
    return model, batcher, first


def numbers(future: concurrent.futures.Future) -> list[float]:
    return [float(value) for (value,) in future.result(SOON)]


def test_what_waits_goes_together() -> None:
    model, batcher, first = busy(max_rows=4)
    with batcher:
        others = [batcher.submit([[number, 1], [number]]) for number in range(1, 4)]
        assert batcher.waiting == 6
        model.gate.set()
        assert numbers(first) == [1]
        assert [numbers(future) for future in others] == [[n + 1, n] for n in range(1, 4)]
    assert model.sizes() == [1, 4, 2]
    assert batcher.waiting == 0


def test_rows_that_see_padding_go_by_length() -> None:
    for masked, sizes in ((True, [4]), (False, [2, 2])):
        model = Model()
        signature = dataclasses.replace(model.signature, time_axes={"sum": ()} if masked else None)
        with Batcher(signature, model) as batcher:
            assert numbers(batcher.submit([[1, 2], [3], [4, 5], [6]])) == [3, 3, 9, 6]
        assert model.sizes() == sizes


def test_a_batch_waits_for_others_no_longer_than_it_may() -> None:
    model = Model()
    with model.batcher(max_rows=3, max_delay=600) as batcher:
        futures = [batcher.submit([[number]]) for number in (1, 2, 3)]
        assert [numbers(future) for future in futures] == [[1], [2], [3]]
        assert model.sizes() == [3]
        last = batcher.submit([[4]])
        assert not last.done()
    assert numbers(last) == [4]  # a batcher that is closed waits for nobody
    with model.batcher(max_delay=0.001) as batcher:
        assert numbers(batcher.submit([[5]])) == [5]


def test_many_rows_do_not_keep_few_waiting() -> None:
    model, batcher, _ = busy(max_rows=4)
    with batcher:
        many = batcher.submit([[7]] * 9)
        few = [batcher.submit([[number]]) for number in (1, 2)]
        model.gate.set()
        assert numbers(many) == [7] * 9
        assert [numbers(future) for future in few] == [[1], [2]]
    assert sorted(np.ravel(model.batches[1]).tolist()) == [1, 2, 7, 7]


def test_a_bad_row_is_refused_before_it_waits() -> None:
    model, batcher, _ = busy()
    with batcher:
        for rows, message in (
            ([[1], [100]], r"row 2: input 'ids': ids should be in \[0, 100\), found 100"),
            ([[]], "row 1: input 'ids': the model is not defined over 0 time steps"),
            ([[1.5]], "row 1: input 'ids': expected integer ids"),
            ([3], "row 1: should be one row of"),
            (["text"], "row 1, 'text': is a text"),
            ("text", "several rows, found one text"),
        ):
            with pytest.raises(InputError, match=message):
                batcher.submit(rows)
        assert batcher.waiting == 0
        assert batcher.submit([]).result(0) == []
        model.gate.set()


def test_one_that_fails_is_nobody_elses_trouble() -> None:
    model, batcher, _ = busy()
    with batcher:
        good = [batcher.submit([[number], [2]]) for number in (1, 2)]
        bad = batcher.submit([[5], [99]])
        model.gate.set()
        assert [numbers(future) for future in good] == [[1, 2], [2, 2]]
        with pytest.raises(ValueError, match="99 in a batch of 2"):
            bad.result(SOON)
        assert numbers(batcher.submit([[3]])) == [3]
    assert model.sizes() == [1, 6, 2, 2, 2, 1]


def test_no_more_wait_than_may() -> None:
    model, batcher, _ = busy(max_waiting=3)
    with batcher:
        with pytest.raises(InputError, match="up to 3 rows may wait, found 4 in one request"):
            batcher.submit([[1]] * 4)
        two, one = batcher.submit([[1]] * 2), batcher.submit([[2]])
        with pytest.raises(UnavailableError, match="3 rows wait, of 3 that may; try again later"):
            batcher.submit([[1]])
        assert two.cancel()
        assert numbers_later(batcher, model) == [4, 4]
        assert numbers(one) == [2]


def numbers_later(batcher: Batcher, model: Model) -> list[float]:
    future = batcher.submit([[4], [4]])
    model.gate.set()
    return numbers(future)


def test_callers_may_give_up() -> None:
    model, batcher, first = busy(max_rows=2)
    with batcher:
        waiting, many = batcher.submit([[2]]), batcher.submit([[3]] * 5)
        assert waiting.cancel()
        assert first.cancel()  # in the middle of its batch: nobody is told what it gave
        model.gate.set()
        assert model.entered.acquire(timeout=SOON)
        assert numbers(many) == [3] * 5
        done, not_done = concurrent.futures.wait([first, waiting], SOON)
        assert (done, not_done) == ({first, waiting}, set())
    assert [2] not in [row for batch in model.batches for row in batch]


def test_closing_answers_what_waits_or_cancels_it() -> None:
    for cancel in (False, True):
        model, batcher, first = busy(max_rows=1)
        waiting = [batcher.submit([[number]]) for number in (2, 3)]
        closing = threading.Thread(target=batcher.close, args=[cancel])
        closing.start()
        refused = None
        while refused is None:
            try:
                batcher.submit([])
            except UnavailableError as error:
                refused = str(error)
        assert refused == "the batcher is closed"
        model.gate.set()
        closing.join(SOON)
        assert not closing.is_alive()
        assert numbers(first) == [1]
        assert [future.cancelled() for future in waiting] == [cancel, cancel]
        if not cancel:
            assert [numbers(future) for future in waiting] == [[2], [3]]
        assert not any(thread.is_alive() for thread in batcher._threads)
        batcher.close()


def test_a_caller_may_close_it_when_answered() -> None:
    model, batcher, first = busy()
    first.add_done_callback(lambda _: batcher.close())
    model.gate.set()
    batcher._threads[0].join(SOON)
    assert not batcher._threads[0].is_alive()


def test_one_that_nobody_has_ends() -> None:
    model = Model()
    batcher = model.batcher(workers=2)
    future, threads = batcher.submit([[1]]), batcher._threads
    del batcher
    gc.collect()
    for thread in threads:
        thread.join(SOON)
    assert not any(thread.is_alive() for thread in threads)
    assert numbers(future) == [1]


def test_tasks_of_asyncio() -> None:
    async def ask(batcher: Batcher, number: int) -> float:
        ((total,),) = await asyncio.wrap_future(batcher.submit([[number, 1]]))
        return total

    async def ask_all() -> list[float]:
        with Model().batcher() as batcher:
            return await asyncio.gather(*(ask(batcher, number) for number in range(50)))

    assert asyncio.run(ask_all()) == [number + 1 for number in range(50)]

    async def give_up() -> None:
        model, batcher, _ = busy()
        waiting = batcher.submit([[2]])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(waiting), 0.001)
        model.gate.set()
        batcher.close()
        assert waiting.cancelled()
        assert [[2]] not in model.batches

    asyncio.run(give_up())


def from_threads(count: int, work: Callable[[int], None]) -> None:
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(work, number) for number in range(count)]:
            future.result(SOON)


@pytest.mark.parametrize(
    "rounds", [pytest.param(40, id="few"), pytest.param(1500, id="many", marks=pytest.mark.sweep)]
)
def test_whatever_many_threads_do(rounds: int) -> None:
    """Every future is settled in the end: with its own numbers, with its own error, or cancelled."""
    model = Model()
    batcher = model.batcher(max_rows=5, max_waiting=12, max_delay=0.0005, workers=3)
    refused: list[int] = []

    def work(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(rounds):
            rows = [[draw.randrange(1, 99)] * draw.randrange(1, 4) for _ in range(draw.randrange(0, 5))]
            kind = draw.random()
            if kind < 0.1 and rows:
                rows[-1] = [99]
            try:
                future = batcher.submit(rows)
            except UnavailableError:
                refused.append(seed)
                continue
            if kind > 0.9:
                future.cancel()
            if future.cancelled():
                assert concurrent.futures.wait([future], SOON).done
            elif [99] in rows:
                with pytest.raises(ValueError, match="99 in a batch"):
                    future.result(SOON)
            else:
                assert numbers(future) == [sum(row) for row in rows]

    from_threads(8, work)
    batcher.close()
    assert batcher.waiting == 0
    assert len(refused) < 8 * rounds


@pytest.mark.parametrize("masked", [True, False])
def test_the_numbers_are_those_of_a_row_alone(masked: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    graph = chain(rng, bidirectional(rng, I, H, sequences=True), lstm(rng, 2 * H, 2), masked=masked)
    session = exported(graph, tmp_path)
    rows = [rng.integers(0, V, length) for length in rng.integers(1, 12, 60)]
    rows = [row if number % 4 else row * (row != 1) for number, row in enumerate(rows)]
    wanted = [[output[0] for output in session.run([row[None]])] for row in rows]
    with session.batcher(max_delay=0.001, max_tokens=80, workers=2) as batcher:

        def ask(part: int) -> None:
            for number in range(part, len(rows), 6):
                (result,) = batcher.submit([rows[number]]).result(SOON)
                for one, exact in zip(result, wanted[number], strict=True):
                    np.testing.assert_allclose(one, exact, atol=1e-6, rtol=0)

        from_threads(6, ask)


def test_what_it_is_not_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    session = exported(chain(rng, lstm(rng, I, H)), tmp_path)
    with pytest.raises(InputError, match="does not say what its classes are called"):
        session.batcher(classify=True)
    for name in ("max_rows", "max_tokens", "max_waiting", "workers"):
        with pytest.raises(InputError, match=f"{name} should be 1 or more"):
            session.batcher(**{name: 0})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="max_delay should be seconds"):
        session.batcher(max_delay=-1)
    inputs = (Value("a", ("N", I), "float32"), Value("b", ("N", I), "float32"))
    two = exported(Graph(inputs, (Node("y", ops.Add(), ("a", "b")),), ("y",)), tmp_path)
    with pytest.raises(InputError, match="models of one input, this one takes a, b"):
        two.batcher()


def test_a_session_is_for_several_threads(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    graph = chain(rng, bidirectional(rng, I, H, sequences=True), lstm(rng, 2 * H, 2))
    exported(graph, tmp_path)
    session = export.Session(tmp_path / "model.onnx", device="cpu", threads=2)
    inputs = [rng.integers(0, V, size) for size in ((1, 3), (4, 9), (2, 30), (7, 1), (3, 3), (5, 17))]
    wanted = [session.run([ids]) for ids in inputs]

    def work(number: int) -> None:
        for _ in range(8):
            for one, exact in zip(session.run([inputs[number]]), wanted[number], strict=True):
                np.testing.assert_array_equal(one, exact)
        for index, row in enumerate(session.predict(inputs[number])):
            for one, exact in zip(row, wanted[number], strict=True):
                np.testing.assert_allclose(one, exact[index], atol=1e-6, rtol=0)

    from_threads(6, work)


@pytest.mark.sweep
def test_no_number_of_runs_fills_the_memory(tmp_path: Path) -> None:
    """However many shapes there are."""
    rng = np.random.default_rng(5)
    session = exported(chain(rng, bidirectional(rng, I, H, sequences=True)), tmp_path)

    def run(times: int) -> int:
        for N, T in rng.integers(1, [12, 60], (times, 2)):
            session.run([np.ones((N, T), int)])
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    first, last = run(1000), run(9000)
    assert last - first < 2**22


def test_a_second_session_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many threads ask first."""
    rng = np.random.default_rng(5)
    exported(chain(rng, lstm(rng, I, H)), tmp_path)
    session = export.Session(tmp_path / "model.onnx", device="cpu", threads=2)
    created: list[Any] = []
    barrier = threading.Barrier(4)

    def slowly(*arguments: Any) -> Any:
        created.append(arguments)
        threading.Event().wait(0.02)
        return session._session

    monkeypatch.setattr("export.session.create", slowly)

    def ask(_: int) -> None:
        barrier.wait(SOON)
        # Rows of 0 are padded with nothing: two lengths are two batches.
        for (output,) in session.predict([np.zeros(3, int), np.zeros(4, int)]):
            assert output.shape == (H,)

    from_threads(4, ask)
    assert len(created) == 1


def test_a_second_session_is_of_the_same_file(tmp_path: Path) -> None:
    """Or rows would be scored by two models."""
    rng = np.random.default_rng(5)
    exported(chain(rng, lstm(rng, I, H)), tmp_path)
    session = export.Session(tmp_path / "model.onnx", device="cpu", threads=2)
    exported(chain(rng, lstm(rng, I, H)), tmp_path)
    for use in (lambda: list(session.predict([[0], [0, 0]])), session.batcher):
        with pytest.raises(FileError, match="written or removed since this session was opened"):
            use()
    assert list(session.predict([[0], [0, 0]], workers=1))
    assert list(session.predict([[1]]))


def test_one_batch_starts_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor a second session: it takes longer than a short row; a row that is refused is named all the same."""
    rng = np.random.default_rng(5)
    exported(chain(rng, lstm(rng, I, H)), tmp_path)
    session = export.Session(tmp_path / "model.onnx", device="cpu", threads=2)
    (expected,) = session.run([np.array([[1, 2, 1]])])

    def never(*_: Any) -> Any:
        raise AssertionError("a thread was started")

    monkeypatch.setattr(threading.Thread, "start", never)
    monkeypatch.setattr("export.session.create", never)
    ((output,),) = session.predict([[1, 2, 1]])
    np.testing.assert_array_equal(output, expected[0])
    first, second = session.predict_each([[1, 2, 1], [1, -1, 1]])
    np.testing.assert_array_equal(first.outputs[0], expected[0])
    assert "row 2" in str(second.error)
    assert list(session.predict([])) == []


def test_the_example() -> None:
    result = doctest.testmod(batcher_module)
    assert result.attempted
    assert not result.failed


@pytest.mark.sweep
def test_a_process_ends_by_itself_and_answers_first() -> None:
    program = """
import time
from biport.graph import Value
from export.runtime.batcher import Batcher
from test_export_batcher import signature

def run(array):
    time.sleep(0.2)
    return [array.sum(1)]

values = [Value("x", ("N", "T"), "int64")], [Value("y", ("N",), "int64")]
batcher = Batcher(signature(*values), run)
batcher.submit([[1, 2]]).add_done_callback(lambda future: print(future.result()[0][0], flush=True))
"""
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1]), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")

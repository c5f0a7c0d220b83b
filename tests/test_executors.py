"""Tiles on threads, processes and Dask: the same matrix, however it is computed."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import (
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from multiprocessing import get_context

import numpy as np
import pytest
from slow_kernel import TILES, SlowKernel, inputs

import tangency as tg
from tangency.kernels.cores import usable_cores
from tangency.kernels.matrix import execution
from tangency.kernels.matrix.execution import run_job
from tangency.kernels.matrix.executors import opened
from tangency.kernels.matrix.gpus import OnePerGPU, visible_gpus
from tangency.kernels.matrix.threads import shared_between


def expected():
    k = np.einsum("nd,md->nm", inputs(), inputs())
    return tg.Kernels(nngp=k, ntk=2 * k)


def assert_right(got):
    for name, k in expected()._asdict().items():
        # Equal to the last bit: no tile is of anything else.
        np.testing.assert_array_equal(np.asarray(getattr(got, name)), k)


@pytest.fixture
def victims(tmp_path):
    """A folder with one file: the first process to see it kills itself."""
    folder = tmp_path / "victims"
    folder.mkdir()
    (folder / "first").touch()
    return folder


class Recording:
    """Executes at once, like ``workers`` separate processes in turn, and records how
    often the job was sent."""

    def __init__(self, workers):
        self._max_workers = workers
        self.memories = [{} for _ in range(workers)]
        self.turn = self.sent = 0

    def submit(self, function, *args):
        future = Future()
        self.sent += any(isinstance(a, bytes) for a in args)
        self.turn = (self.turn + 1) % len(self.memories)
        execution._jobs = self.memories[self.turn]
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def multiply(job, factor):
    return job[0] * factor


def test_a_job_is_sent_once_per_worker_and_again_to_new_ones(monkeypatch):
    monkeypatch.setattr(execution, "_jobs", {})
    executor = Recording(3)
    results = run_job(multiply, (7,), ((i,) for i in range(50)), executor)
    got = [next(results) for _ in range(20)]
    assert executor.sent == 3
    # A worker dies, and an empty one takes its place.
    executor.memories[1].clear()
    assert got + list(results) == [7 * i for i in range(50)]
    assert 4 <= executor.sent <= 9
    # What workers keep does not grow with the number of computations.
    for i in range(10):
        list(run_job(multiply, (i,), [(1,)] * 3, executor))
    assert max(map(len, executor.memories)) <= execution.KEPT


def test_threads_write_the_same_store(tmp_path):
    with ThreadPoolExecutor(3) as executor:
        stored = tg.compute(
            SlowKernel(), inputs(), executor=executor, path=tmp_path / "k", **TILES
        )
    assert_right(stored)


def test_processes_of_the_standard_library_return_tiles():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        assert_right(tg.compute(SlowKernel(), inputs(), executor=executor, **TILES))


def test_loky_processes_compute_and_a_killed_one_costs_only_its_tile(tmp_path, victims):
    pytest.importorskip("loky", reason="needs the extra 'loky'")
    kernel = SlowKernel(victims=str(victims))
    arguments = dict(kernel=kernel, x1=inputs(), executor=2, **TILES)
    path = tmp_path / "k"
    with pytest.raises(tg.WorkersLostError, match="run the same again"):
        tg.compute(**arguments, path=path)
    done = {file: file.stat().st_mtime_ns for file in path.glob("n*.npy")}
    assert_right(tg.compute(**arguments, path=path))
    assert all(file.stat().st_mtime_ns == when for file, when in done.items())
    # The inputs travel, and tiles return.
    assert_right(tg.compute(**arguments))


@pytest.fixture(scope="module")
def scheduler():
    """The address of a Dask scheduler with two workers, in processes of their own."""
    distributed = pytest.importorskip("distributed", reason="needs the extra 'dask'")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0"
    ) as cluster:
        yield cluster.scheduler_address


def test_dask_computes_although_a_worker_is_killed(tmp_path, scheduler, victims):
    kernel = SlowKernel(victims=str(victims))
    arguments = dict(kernel=kernel, x1=inputs(), executor=scheduler, **TILES)
    assert_right(tg.compute(**arguments, path=tmp_path / "k", workers_write=True))
    assert not list(victims.iterdir())
    assert_right(tg.compute(**arguments, path=tmp_path / "sent"))
    assert tg.verify_matrix(tmp_path / "sent") == {}


def test_the_executor_of_a_dask_client_is_taken_as_it_is(scheduler):
    import distributed

    with distributed.Client(scheduler) as client:
        executor = client.get_executor()
        assert_right(tg.compute(SlowKernel(), inputs(), executor=executor, **TILES))


def which_gpu(job, number):
    time.sleep(0.05)
    return os.environ["CUDA_VISIBLE_DEVICES"], os.getpid()


def test_every_gpu_has_a_process_that_sees_no_other(monkeypatch):
    pytest.importorskip("loky", reason="needs the extra 'loky'")
    # No GPU has to be there: the processes are asked for what they were given.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-8a2f")
    with opened("gpu") as workers:
        assert workers._max_workers == 2
        seen = set(run_job(which_gpu, "job", ((i,) for i in range(12)), workers))
        assert_right(tg.compute(SlowKernel(), inputs(), executor=workers, **TILES))
    assert len(seen) == 2 and {gpu for gpu, _ in seen} == {"3", "GPU-8a2f"}


def test_gpus_are_counted_without_a_cuda_library(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1, 0,-1,2")
    assert visible_gpus() == ["1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []
    with pytest.raises(ValueError, match="no GPU is visible: CUDA_VISIBLE_DEVICES is"):
        OnePerGPU(lambda env: None, visible_gpus())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\necho 'GPU 0: H100 (UUID: a)'\necho 'GPU 1: H100'\n")
    fake.chmod(0o755)
    assert visible_gpus() == ["0", "1"]
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert visible_gpus() == []


def test_a_task_goes_to_the_gpu_with_the_fewest_waiting():
    class Held(Executor):
        def submit(self, function):
            self.futures = [*getattr(self, "futures", []), Future()]
            return self.futures[-1]

    pools = [Held(), Held()]
    turns = iter(pools)
    workers = OnePerGPU(lambda env: next(turns), ["0", "1"])
    for _ in range(4):
        workers.submit(None)
    assert [len(pool.futures) for pool in pools] == [2, 2]
    for future in pools[1].futures:
        future.set_result(None)
    workers.submit(None)
    assert [len(pool.futures) for pool in pools] == [2, 3]


def test_a_dask_cluster_on_this_machine_shares_the_cores(monkeypatch):
    pytest.importorskip("distributed", reason="needs the extra 'dask'")
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    with opened("dask") as workers:
        seen = workers.submit(os.getenv, "NUMBA_NUM_THREADS").result()
        assert seen == "1"
        assert_right(tg.compute(SlowKernel(), inputs(), executor=workers, **TILES))


def test_a_dask_cluster_leaves_the_variables_of_this_process_alone():
    pytest.importorskip("distributed", reason="needs the extra 'dask'")
    before = dict(os.environ)
    with opened("dask") as workers:
        assert dict(os.environ) == before
        workers.submit(int).result()
    assert dict(os.environ) == before


def test_an_unknown_scheduler_is_reported_in_time(monkeypatch):
    dask = pytest.importorskip("tangency.kernels.matrix.dask", reason="needs 'dask'")
    monkeypatch.setattr(dask, "SECONDS", 1)
    with pytest.raises(ConnectionError, match=r"tcp://127.0.0.1:9.*dask scheduler"):
        tg.compute(SlowKernel(), inputs(), executor="tcp://127.0.0.1:9")


@pytest.mark.parametrize(
    "trial", [0, *(pytest.param(i, marks=pytest.mark.slow) for i in (1, 2))]
)
def test_a_killed_scheduler_is_reported_and_tiles_are_kept(tmp_path, trial):
    distributed = pytest.importorskip("distributed", reason="needs the extra 'dask'")
    file = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    # The worker must be able to import the kernel.
    env = {**os.environ, "PYTHONPATH": os.path.dirname(__file__)}
    processes = [
        subprocess.Popen([*dask, *words, "--scheduler-file", str(file)], env=env)
        for words in (
            ["scheduler", "--port", "0", "--no-dashboard"],
            ["worker", "--nthreads", "1"],
        )
    ]
    try:
        while not file.exists():
            time.sleep(0.1)
        with distributed.Client(scheduler_file=str(file)) as client:
            client.wait_for_workers(1, timeout=60)
            address = client.scheduler.address
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(
                tg.compute,
                SlowKernel(0.1),
                inputs(),
                path=tmp_path / "k",
                executor=address,
                **TILES,
            )
            while not list(tmp_path.glob("k/n*.npy")):
                time.sleep(0.1)
            time.sleep(0.3 * trial)
            processes[0].send_signal(signal.SIGKILL)
            with pytest.raises(tg.WorkersLostError, match="kept"):
                running.result(timeout=120)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert list(tmp_path.glob("k/n*.npy"))
    assert_right(tg.resume_matrix(tmp_path / "k", SlowKernel(0.1)))


def test_what_is_no_executor_is_refused():
    k, x = SlowKernel(), inputs()
    with pytest.raises(
        ValueError, match="executor is 'daks', expected 'dask', 'gpu' or"
    ):
        tg.compute(k, x, executor="daks")
    with pytest.raises(ValueError, match="executor is 0"):
        tg.compute(k, x, executor=0)
    with pytest.raises(TypeError, match="executor is a float"):
        tg.compute(k, x, executor=1.5)


def test_extras_that_are_missing_are_named(monkeypatch):
    for module, executor, extra in (
        ("loky", 2, "loky"),
        ("loky", "gpu", "loky"),
        ("distributed", "dask", "dask"),
    ):
        ours = {"distributed": "dask"}.get(module, module)
        monkeypatch.delitem(sys.modules, f"tangency.kernels.matrix.{ours}", False)
        monkeypatch.delattr(tg.kernels.matrix, ours, False)
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ModuleNotFoundError, match=rf"tangency\[{extra}\]"):
            tg.compute(SlowKernel(), inputs(), executor=executor)


def test_processes_share_the_cores():
    loky = pytest.importorskip("tangency.kernels.matrix.loky", reason="needs 'loky'")
    seen = loky.processes(2).submit(os.getenv, "OMP_NUM_THREADS").result()
    assert int(seen) == max(1, usable_cores() // 2)


def test_processes_share_the_cores_that_this_process_may_use(monkeypatch):
    # Of all cores of the machine, a batch system gives it six.
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    assert shared_between(2)["NUMBA_NUM_THREADS"] == "3"
    assert set(shared_between(4).values()) == set(shared_between(9).values()) == {"1"}

"""Triton kernels without a GPU: interpreted, compiled, and refused with a reason."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import torch
from house import ROOT

import tangency as tg
from tangency.kernels.planes import lower
from tangency.kernels.planes.triton import torch_engine

pytest.importorskip("triton", reason="triton is in requirements-dev.txt")

NET = tg.serial(tg.Dense(8, W_std=2**0.5, b_std=0.1), tg.Relu(), tg.Dense(1))
FOLDER = Path(__file__).parent / "interpreted"
# Both kinds of run need seconds; ten minutes mean that one hangs.
LIMIT = 600


def run(*command, status=0, **variables):
    """A process of its own: Triton interprets or compiles, never both in one."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    environment = {k: v for k, v in environment.items() if not k.startswith("PYTEST_")}
    ran = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert ran.returncode == status, ran.stdout[-4000:] + ran.stderr[-4000:]
    return ran.stdout + ran.stderr


@pytest.mark.parametrize("path", sorted(FOLDER.glob("test_*.py")), ids=lambda p: p.stem)
def test_kernels_are_right_where_triton_interprets_them(path):
    options = ("-q", "-p", "no:xdist", "-p", "no:cacheprovider")
    run("pytest", *options, str(path), TRITON_INTERPRET="1")


def test_no_kernel_spills_registers_where_triton_compiles_them():
    table = run("benchmarks", "triton-compile", "--quick")
    for architecture in ("sm_80", "sm_90", "sm_100"):
        assert architecture in table


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to measure")
def test_the_gpu_benchmark_says_that_there_is_no_gpu():
    assert "sees no GPU here" in run("benchmarks", "gpu", status=2)


SLOW = pytest.param("kip-convnet/32/*", marks=pytest.mark.slow)


@pytest.mark.parametrize("case", ("fc3/3072/20000/ieee/*triton", SLOW))
def test_the_gpu_benchmark_runs_dry(case, tmp_path):
    path = tmp_path / "gpu.jsonl"
    run("benchmarks", "gpu", "--dry", "--out", str(path), "--filter", case)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines and all("error" not in line for line in lines)
    assert all(line["pairs_per_s"] > 0 and line["dry"] for line in lines)
    gates = [line["gate"] for line in lines]
    assert all(gate["error"] <= gate["tolerance"] for gate in gates)


def test_cpu_tensors_are_not_sent_to_triton():
    x = torch.zeros(3, 4, dtype=torch.float64) + 1
    with pytest.raises(
        ValueError, match="needs a CUDA tensor, got cpu float64; .*planes"
    ):
        tg.ExactKernel(NET, "triton")(x)
    assert tg.ExactKernel(NET, "auto")(x, get="ntk").shape == (3, 3)


def test_the_move_to_a_gpu_is_named_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    reason = torch_engine.why_not_on(torch.zeros(2, 2))
    assert reason.endswith("use engine='planes' or move the data (x.cuda())")


def test_arrays_of_numpy_are_not_sent_to_triton():
    with pytest.raises(ValueError, match=r"CUDA tensor of torch.*torch.from_numpy"):
        tg.ExactKernel(NET, "triton")(np.ones((3, 4)))


def test_old_gpus_are_refused_with_their_compute_capability(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    on_gpu = SimpleNamespace(device=torch.device("cuda:0"), dtype=torch.float32)
    reason = torch_engine.why_not_on(on_gpu)
    assert "8.0 or newer, cuda:0 (Tesla T4) has 7.5; use engine='exact'" in reason
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert torch_engine.why_not_on(on_gpu) is None


def test_a_missing_triton_is_named(monkeypatch):
    monkeypatch.setattr(torch_engine, "find_spec", lambda name: None)
    assert "pip install triton" in torch_engine.why_not_on(torch.zeros(2, 2))


def test_results_that_do_not_fit_are_refused_before_any_work(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, 2**31))
    for name in ("memory_reserved", "memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, lambda device: 0)

    class Rows(SimpleNamespace):
        def __len__(self):
            return 20_000

    x = Rows(device=torch.device("cuda:0"), element_size=lambda: 4)
    with pytest.raises(
        torch.OutOfMemoryError, match=r"1.5 GiB, but cuda:0 has 1.0 GiB"
    ):
        torch_engine.check_room(x, 20_000, 1)


def test_networks_without_kernels_are_named():
    long = tg.serial(tg.Dense(8), tg.Monomial(20), tg.Dense(1))
    assert "degree 20" in torch_engine.why_not_for(lower(long, (1, 4)))
    assert torch_engine.why_not_for(lower(NET, (1, 4))) is None


def test_precision_of_products_is_refused_where_nothing_reads_it():
    with pytest.raises(
        ValueError, match="precision='tf32x3' is one of engine='triton'"
    ):
        tg.ExactKernel(NET, precision="tf32x3")(np.ones((3, 4)))
    with pytest.raises(ValueError, match="precision is 'half', expected one of"):
        tg.ExactKernel(NET, precision="half")


def test_jax_arrays_on_the_cpu_are_not_sent_to_triton():
    with pytest.raises(ValueError, match="needs a JAX array on a GPU, got cpu float32"):
        tg.ExactKernel(NET, "triton")(jax.numpy.ones((3, 4)))

"""The command line, mostly in this process."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tangency as tg
from tangency.cli import commands, kernel
from tangency.cli.arrays import load_array
from tangency.cli.network import layer_names, network
from tangency.kernels.matrix.files import written_whole

FC = "dense(8, W_std=1.4, b_std=0.1) relu dense(1)"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with inputs a.npy, b.npy and both.npz, which is the current one."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    np.save("a.npy", a)
    np.save("b.npy", b)
    np.savez("both.npz", a=a, b=b)
    return tmp_path


def run(*arguments):
    return commands.main([str(a) for a in arguments])


def failing(capsys, *arguments):
    """What is said on stderr by a command that must fail, without a traceback."""
    try:
        status = run(*arguments)
    except SystemExit as stopped:
        status = stopped.code
    assert status == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def test_the_kernel_command_writes_what_the_library_computes(folder, capsys):
    made = ["kernel", "--network", FC, "--x1", "a.npy", "--x2", "both.npz:b"]
    assert run(*made, "--get", "ntk", "--out", "k.npy") == 0
    assert run(*made, "--get", "nngp", "ntk", "--out", "k.npz") == 0
    assert "[5, 4] float64 -> k.npz" in capsys.readouterr().err
    net = tg.serial(tg.Dense(8, 1.4, 0.1), tg.Relu(), tg.Dense(1))
    expected = tg.ExactKernel(net)(np.load("a.npy"), np.load("b.npy"))
    np.testing.assert_array_equal(np.load("k.npy"), expected.ntk)
    with np.load("k.npz") as both:
        np.testing.assert_array_equal(both["nngp"], expected.nngp)
        np.testing.assert_array_equal(both["ntk"], expected.ntk)
    assert {p.name for p in folder.iterdir()} == {
        "a.npy",
        "b.npy",
        "both.npz",
        "k.npy",
        "k.npz",
    }


def test_without_x2_the_kernel_is_symmetric_and_integers_can_be_converted(folder):
    np.save("pixels.npy", np.arange(40).reshape(5, 8))
    arguments = ["--x1", "pixels.npy", "--dtype", "float32", "--out", "k.npy"]
    assert run("kernel", "--network", FC, *arguments) == 0
    k = np.load("k.npy")
    assert k.dtype == np.float32 and np.array_equal(k, k.T)


def test_strings_and_python_describe_the_same_networks():
    written = network(
        "conv(64, 3, W_std=sqrt(2), b_std=.1) relu avgpool(2) flatten dense(10)"
    )
    assert written == tg.serial(
        tg.Conv(64, (3, 3), padding="SAME", W_std=2**0.5, b_std=0.1),
        tg.Relu(),
        tg.AvgPool((2, 2), (2, 2)),
        tg.Flatten(),
        tg.Dense(10),
    )
    assert network("Conv(4, (3, 1), strides=2, padding=valid)") == tg.serial(
        tg.Conv(4, (3, 1), (2, 2), "VALID")
    )
    assert network("sum_pool(3, strides=1, padding=CIRCULAR)", dims=1) == tg.serial(
        tg.SumPool((3,), (1,), "CIRCULAR")
    )
    assert network("dense(3, b_std=none, parameterization=standard)") == tg.serial(
        tg.Dense(3, parameterization="standard")
    )
    assert network("layernorm((1, 2, -1), eps=1e-6)") == tg.serial(
        tg.LayerNorm((1, 2, -1), 1e-6)
    )


def test_branches_can_be_written():
    block = tg.serial(tg.Relu(), tg.Dense(8))
    branches = tg.parallel(block, tg.Identity())
    residual = tg.serial(tg.FanOut(2), branches, tg.FanInSum())
    assert network("dense(8) residual(relu dense(8))") == tg.serial(
        tg.Dense(8), residual
    )
    assert network("residual(relu dense(8), dense(8))").layers[0].layers[1] == (
        tg.parallel(block, tg.serial(tg.Dense(8)))
    )
    written = network("fanout(2) parallel(dense(2), dense(3)) faninconcat(-1)")
    assert written.layers[1:] == (
        tg.parallel(tg.serial(tg.Dense(2)), tg.serial(tg.Dense(3))),
        tg.FanInConcat(-1),
    )
    assert network("repeat(relu dense(8), 3)") == tg.serial(tg.repeat(block, 3))


def test_every_layer_and_activation_has_a_name():
    names = layer_names()
    assert {"conv", "dense", "relu", "globalavgpool", "layernorm"} <= set(names)
    assert not {"layer", "activation", "exactkernel"} & set(names)
    for name in names:
        try:
            network(name)
        except ValueError as error:
            # Only arguments are missing.
            assert "needs" in str(error) or "expected" in str(error)
            assert "no layer has this name" not in str(error)


@pytest.mark.parametrize(
    ("text", "problem", "column"),
    [
        ("", "expected the name of a layer", 0),
        ("dense(10", "expected ')', found the end", 8),
        ("dense(10) )", "unexpected ')'", 10),
        ("dense(10); relu", "unexpected character ';'", 9),
        ("dense(10) rleu", "no layer has this name, expected one of", 10),
        ("dense(10, 1, 1, ntk, 5)", "takes 4 arguments, got 5", 0),
        ("dense(10, out_dim=3)", "an argument is given twice", 0),
        ("dense(10, W=3)", "has no argument W, it takes out_dim, W_std", 0),
        ("dense(W_std=1, 3)", "without a name follows", 15),
        ("dense(W_std=1, W_std=2)", "W_std is given twice", 15),
        ("relu dense", "needs out_dim", 5),
        ("dense(relu(1))", "a layer stands where a number", 6),
        ("dense(0)", "out_dim is 0, expected an integer", 0),
        ("conv(4, 3, padding=FULL)", "padding is 'FULL'", 0),
        ("dense(1, sqrt(-2))", "a number >= 0 under sqrt", 14),
        ("residual(3)", "expected layers as arguments", 0),
        ("residual(relu, relu, relu)", "at most one shortcut", 0),
        ("repeat(relu)", "expected layers and a number", 0),
        ("repeat(relu, 0)", "n is 0, expected an integer", 0),
        ("serial(relu, n=3)", "takes no argument n", 0),
    ],
)
def test_a_bad_network_string_is_pointed_at(text, problem, column):
    with pytest.raises(ValueError) as caught:
        network(text)
    assert problem in str(caught.value)
    assert str(caught.value).endswith(f"\n  {text}\n  {' ' * column}^")


def test_bad_input_is_a_message_and_status_2(folder, capsys):
    np.save("images.npy", np.ones((2, 4, 4, 1)))
    np.save("counts.npy", np.ones((2, 3), int))
    np.save("hole.npy", np.full((2, 3), np.nan))
    np.save("objects.npy", np.asarray([{}]), allow_pickle=True)
    Path("p.npy").write_bytes(pickle.dumps([1, 2]))
    Path("cut.npy").write_bytes(Path("a.npy").read_bytes()[:100])

    def said(x1, net=FC, out="k.npy", *more):
        arguments = ["--network", net, "--x1", x1, "--out", out, *more]
        return failing(capsys, "kernel", *arguments)

    assert "there is no file 'gone.npy'" in said("gone.npy")
    assert "can run code when it is loaded, and is refused" in said("objects.npy")
    assert "can run code when it is loaded, and is refused" in said("p.npy")
    assert "cut.npy cannot be read" in said("cut.npy")
    assert "holds a, b; choose one, e.g. both.npz:a" in said("both.npz")
    assert "holds a, b" in said("both.npz:c")
    assert "x1 has dtype int64" in said("counts.npy")
    assert "6 entries that are NaN" in said("hole.npy")
    assert "x2 has shape (2, 4, 4, 1)" in said(
        "a.npy", FC, "k.npy", "--x2", "images.npy"
    )
    assert "Flatten() or" in said("images.npy", "conv(4, 3) relu")
    assert "layer 0 of 2 (Relu)" in said("a.npy", "relu dense(1)")
    assert "no layer has this name" in said("a.npy", "rleu")
    assert "should end in .npy or .npz" in said("a.npy", out="k.txt")
    assert "write k.npz" in said("a.npy", FC, "k.npy", "--get", "nngp", "ntk")
    assert "there is no folder 'gone'" in said("a.npy", out="gone/k.npy")
    assert "invalid choice: 'gp'" in said("a.npy", FC, "k.npy", "--get", "gp")
    assert "the following arguments are required" in failing(capsys, "kernel")
    assert "invalid choice: 'kernle'" in failing(capsys, "kernle")
    assert not Path("k.npy").exists()


def test_a_plain_array_with_a_colon_in_its_name_is_read(folder):
    np.save("a.npz:b.npy", np.ones(3))
    assert load_array("x", "a.npz:b.npy").shape == (3,)
    np.savez("one.npz", only=np.zeros(2))
    assert load_array("x", "one.npz").shape == (2,)


def test_an_interrupt_leaves_nothing_and_keeps_what_was_there(
    folder, monkeypatch, capsys
):
    np.save("k.npy", np.zeros(1))
    before = sorted(folder.iterdir())

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    arguments = ["kernel", "--network", FC, "--x1", "a.npy", "--out", "k.npy"]
    # Once in the work, once in the middle of writing.
    for owner, name in ((kernel, "compute"), (np, "save")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, interrupted)
            assert run(*arguments) == 130
        assert "interrupted" in capsys.readouterr().err
        assert sorted(folder.iterdir()) == before
        assert np.load("k.npy").tolist() == [0]
    assert run(*arguments) == 0
    assert np.load("k.npy").shape == (5, 5)


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    out = tmp_path / "k.npy"
    with written_whole(out) as file:
        file.write(b"half")
        assert not out.exists()
    assert out.read_bytes() == b"half"
    with pytest.raises(OSError, match="disk"), written_whole(out) as file:
        file.write(b"new")
        raise OSError("disk full")
    assert out.read_bytes() == b"half"
    assert [p.name for p in tmp_path.iterdir()] == ["k.npy"]


def test_info_names_versions_devices_and_why_an_engine_is_missing(capsys, monkeypatch):
    assert run("info") == 0
    shown = capsys.readouterr().out
    assert f"numpy {np.__version__}".split() in [
        line.split() for line in shown.splitlines()
    ]
    assert "cores" in shown
    exact = next(line for line in shown.splitlines() if "any array library" in line)
    assert exact.endswith(" available")
    from tangency.cli import info

    assert info.why_not("kernels.exact", ("no_such_framework",)) == (
        "not available: pip install no_such_framework"
    )
    assert "not part of this version" in info.why_not("no_such_engine", ())


def test_the_demo_prints_its_table_and_draws_its_picture(tmp_path, capsys):
    out = tmp_path / "out"
    sizes = ["--train", 80, "--test", 20, "--seeds", 2]
    assert run("demo", "--out", out, *sizes) == 0
    shown = capsys.readouterr().out
    for row in ("FC NNGP", "FC NTK", "conv NNGP", "conv NTK"):
        # Few-shot from 20, 40 and 80 digits, and all 80.
        assert shown.count(row) == 4
    assert f"picture: {out / 'kernels.png'}" in shown
    picture = (out / "kernels.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 20_000
    assert [p.name for p in out.iterdir()] == ["kernels.png"]


def test_the_demo_refuses_what_it_cannot_do(tmp_path, capsys, monkeypatch):
    out = ["--out", tmp_path]
    assert "--seeds: 0" in failing(capsys, "demo", *out, "--seeds", 0)
    assert "at least 80" in failing(capsys, "demo", *out, "--train", 70)
    assert "test is 0" in failing(capsys, "demo", *out, "--test", 0)
    from tangency.cli import demo

    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    assert "pip install scikit-learn matplotlib" in failing(capsys, "demo", *out)


def test_python_dash_m_runs_without_a_progress_bar_in_a_pipe(folder):
    environment = {**os.environ, "PYTHONPATH": str(Path(tg.__file__).parents[1])}
    arguments = ["kernel", "--network", FC, "--x1", "a.npy", "--out", "k.npy"]
    ran = subprocess.run(
        [sys.executable, "-m", "tangency", *arguments],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert ran.returncode == 0 and ran.stdout == ""
    assert ran.stderr == "ntk [5, 5] float64 -> k.npy\n"


def test_the_version_is_shown(capsys):
    with pytest.raises(SystemExit) as stopped:
        run("--version")
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"tangency {tg.__version__}\n"

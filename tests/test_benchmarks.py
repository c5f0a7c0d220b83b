"""The harness of the benchmarks: registry, gate, timing, lines, tables, specs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tangency as tg
from benchmarks import gate, memory, results, runner, table, timing
from benchmarks.__main__ import main
from benchmarks.networks import IMAGE_NETWORKS, fully_connected
from benchmarks.peers.client import PYTHON, Peer, PeerError, PeerMissing
from benchmarks.peers.spec import spec
from benchmarks.registry import SUITES, Case, Contender, Run, Suite
from benchmarks.suites.kernels import GET, Problem, peer_reference
from benchmarks.suites.vjp import directional_reference

TRUTH = np.array([[1.0, 2.0], [3.0, 4.0]])
README = results.DIRECTORY / "README.md"


class Constant(Run):
    """Answers at once, with a given array."""

    def __init__(self, answer, amount=4):
        self.answer, self.amount, self.facts = answer, amount, {"block": [2, 2]}
        self.closed = False

    def value(self):
        return self.answer

    def once(self):
        return self.answer

    def sample(self):
        return timing.Sample(wall=0.5, cpu=1.0)

    def close(self):
        self.closed = True


class Broken(Constant):
    def sample(self):
        raise AssertionError("timed although the result is wrong")


def make_case(name="tiny/8", **contenders):
    return Case(
        name=name,
        reference=lambda: TRUTH,
        reference_name="truth",
        contenders=contenders,
        tolerance=1e-6,
        unit="pair",
        problem={"dtype": "float32"},
        quick=True,
    )


def always(run, **options):
    return Contender(lambda: run, **options)


def lines_of(case, **options):
    chosen = runner.Options(repeats=3, probes=False, command="test", **options)
    return runner.run_case("tiny", case, chosen, "run-1", lambda text: None)


def test_the_registry_has_the_kernel_suites():
    assert {"cntk", "fc"} <= set(SUITES)


@pytest.mark.parametrize("name", ["cntk", "fc", "kip", "peer-blocks"])
def test_cases_have_names_of_their_own_and_a_quick_one(name):
    names = [case.name for case in SUITES[name].cases()]
    assert len(set(names)) == len(names)
    if name != "peer-blocks":
        assert SUITES[name].select(quick=True)


def test_cntk_measures_every_network_at_every_size():
    names = {case.name for case in SUITES["cntk"].cases()}
    assert {f"{n}/{p}" for n in IMAGE_NETWORKS for p in (8, 16, 32)} <= names
    assert "myrtle5-gap/32/vjp" in names


def test_a_filter_is_a_substring_or_a_glob():
    names = [c.name for c in SUITES["cntk"].select("kip*32")]
    assert names == ["kip-convnet/32", "kip-convnet/32/vjp"]
    with pytest.raises(ValueError, match="matches no case of 'cntk'"):
        SUITES["cntk"].select("nothing-like-it")


@pytest.mark.parametrize(
    "wrong",
    [TRUTH + 1e-3, np.full((2, 2), np.nan), TRUTH[:1], TRUTH.T],
    ids=["off", "nan", "shape", "transposed"],
)
def test_the_gate_refuses_a_wrong_result_and_times_only_the_others(wrong):
    right, bad = Constant(TRUTH), Broken(wrong)
    lines = []
    with pytest.raises(runner.Failure, match=r"tiny/8, bad.*nothing was timed"):
        for line in lines_of(make_case(bad=always(bad), right=always(right))):
            lines.append(line)  # keeps those before the error
    assert [line["contender"] for line in lines] == ["right"]
    assert right.closed and bad.closed


def test_a_contender_may_have_a_tolerance_of_its_own():
    loose = always(Constant(TRUTH + 1e-5), tolerance=1e-4)
    (line,) = lines_of(make_case(loose=loose))
    assert line["gate"]["tolerance"] == 1e-4


def test_a_reference_that_the_peer_does_not_confirm_is_refused():
    case = make_case(right=always(Constant(TRUTH)))
    doubtful = Case(**{**vars(case), "confirm": lambda: TRUTH * (1 + 1e-6)})
    with pytest.raises(runner.Failure, match="truth: WrongResult: relative error"):
        list(lines_of(doubtful))


def test_peers_can_be_left_out():
    case = make_case(
        ours=always(Constant(TRUTH)), theirs=always(Constant(TRUTH), peer=True)
    )
    assert [line["contender"] for line in lines_of(case, peers=False)] == ["ours"]


def test_relative_error_is_measured_in_the_maximum_norm():
    assert gate.relative_error(TRUTH + 0.4, TRUTH) == pytest.approx(0.1)
    assert gate.relative_error(TRUTH, TRUTH * 0) == float("inf")


def test_a_line_has_the_fields_of_the_schema_and_survives_the_file(tmp_path):
    (line,) = lines_of(make_case(ours=always(Constant(TRUTH))))
    path = tmp_path / "deep" / "tiny.jsonl"
    results.append(path, line)
    results.append(path, line)
    assert results.read(path) == [line, line]
    assert line["unit_s"] == 0.5 / 4
    assert line["cpu_s"] == {"p20": 1.0, "p50": 1.0, "p80": 1.0}
    assert line["machine"]["cores"] == len(os.sched_getaffinity(0))
    assert line["versions"]["numpy"] == np.__version__


def test_a_line_with_a_missing_or_foreign_field_is_refused(tmp_path):
    (line,) = lines_of(make_case(ours=always(Constant(TRUTH))))
    path = tmp_path / "tiny.jsonl"
    with pytest.raises(ValueError, match="lacks .'unit'., has foreign .'units'."):
        results.append(path, {**_without(line, "unit"), "units": "pair"})
    with pytest.raises(ValueError, match="repeats is 'many'"):
        results.append(path, {**line, "repeats": "many"})
    assert not path.exists()
    path.write_text('{"schema": 1}\n')
    with pytest.raises(ValueError, match="tiny.jsonl, line 1: line: lacks"):
        results.read(path)


def _without(line, name):
    return {key: value for key, value in line.items() if key != name}


def test_the_readme_of_the_results_explains_every_field():
    text = README.read_text(encoding="utf-8")
    assert not [name for name in results.FIELDS if f"`{name}`" not in text]


def test_stored_lines_are_valid():
    for path in results.DIRECTORY.glob("*.jsonl"):
        suite = SUITES[path.stem]
        assert suite.table(results.latest(results.read(path)))


def test_a_table_never_mixes_two_runs_of_a_case():
    old = {"case": "a", "run": "1", "contender": "peer"}
    other = {"case": "b", "run": "1", "contender": "peer"}
    new = {"case": "a", "run": "2", "contender": "ours"}
    assert results.latest([old, other, new]) == [other, new]


def make_lines(suite, case, unit_s):
    (line,) = lines_of(make_case(name=case, ours=always(Constant(TRUTH))))
    return [
        {
            **line,
            "suite": suite,
            "contender": who,
            "unit_s": seconds,
            "peak_bytes": 3 << 20,
            "facts": {"entry_layers": 1000},
        }
        for who, seconds in unit_s.items()
    ]


def test_the_table_of_cntk_is_made_from_lines():
    lines = make_lines(
        "cntk",
        "conv3-gap/8",
        {"planes": 1e-6, "exact": 1e-3, "neural-tangents": 1.5e-4},
    )
    lines += make_lines("cntk", "conv3-gap/8/vjp", {"forward": 1e-6, "vjp": 3e-6})
    text = SUITES["cntk"].table(lines)
    row = next(row for row in text.splitlines() if row.startswith("| conv3-gap/8"))
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[2:5] == ["150 us", "1 ms", "1 us"]
    assert {"150x", "1e+03x", "1.00", "3 MB"} <= set(cells)
    assert "| 3x" in text.replace("  ", "") or " 3x " in text
    assert "run-1" in text


def test_the_table_of_fc_shows_a_dash_where_no_line_is():
    text = SUITES["fc"].table(make_lines("fc", "depth3-d64", {"planes": 2e-9}))
    row = next(row for row in text.splitlines() if row.startswith("| depth3-d64"))
    assert row.count(" - ") == 5 and "2 ns" in row


def test_markdown_columns_line_up():
    text = table.markdown(["name", "n"], [["a", "10"], ["long name", "2"]])
    assert len({len(row) for row in text.splitlines()}) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(12.0, "12 s"), (0.00123, "1.23 ms"), (4.5e-6, "4.5 us"), (7e-9, "7 ns")],
)
def test_seconds_are_shown_with_three_digits_and_a_unit(value, text):
    assert table.seconds(value) == text


def test_interleaving_gives_each_round_another_first():
    order = []

    def sampler(name):
        def sample():
            order.append(name)
            return timing.Sample(1.0, 1.0)

        return sample

    taken = timing.interleave({n: sampler(n) for n in "abc"}, repeats=3, rest=0)
    assert "".join(order) == "abcbcacab"
    assert [len(samples) for samples in taken.values()] == [3, 3, 3]


def test_cpu_time_is_measured_beside_wall_time():
    sample = timing.measure(lambda: np.linalg.svd(np.ones((60, 60))), loops=3)
    assert 0 < sample.wall and 0 < sample.cpu


def test_memory_is_the_peak_less_the_result():
    megabyte = 1 << 20

    def call():
        scratch = np.ones(80 * megabyte, np.uint8)
        return scratch[: 16 * megabyte].copy()

    # What the process has freed before may be reused: a rise below, never above.
    assert memory.rise(call) <= 88 * megabyte
    assert memory.nbytes((np.zeros(3), (np.zeros(2, np.float32),))) == 32


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_sees_a_scratch_array_in_a_fresh_process():
    code = (
        "import numpy as np; from benchmarks.memory import rise\n"
        "print(rise(lambda: np.ones(200 << 20, np.uint8)[: 1 << 20].copy()) >> 20)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert 195 <= int(done.stdout) <= 210


NETWORKS = {**IMAGE_NETWORKS, "fc-3": lambda: fully_connected(3)}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_spec_of_every_benchmark_network_makes_the_same_network(name):
    net = NETWORKS[name]()
    assert rebuild(json.loads(json.dumps(spec(net)))) == net


def rebuild(described):
    """Our network from a spec, the reverse of ``spec``."""
    name, arguments, options = described
    if name in ("serial", "parallel"):
        return getattr(tg, name)(*map(rebuild, arguments))
    arguments = [tuple(a) if isinstance(a, list) else a for a in arguments]
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    return getattr(tg, name)(*arguments, **options)


def test_a_layer_without_a_spec_is_refused_by_name():
    with pytest.raises(TypeError, match="Dropout without a rule"):
        spec(tg.serial(tg.Dense(3), tg.Dropout(0.5)))


def test_networks_are_those_of_the_issue():
    convolutions = {
        name: json.dumps(spec(make())).count('"Conv"')
        for name, make in IMAGE_NETWORKS.items()
    }
    assert convolutions["conv3-gap"] == 3
    assert convolutions["myrtle5-gap"] == convolutions["kip-convnet"] == 4
    assert convolutions["resnet-gap"] == 5


def test_a_missing_peer_environment_says_how_to_make_it(tmp_path):
    with pytest.raises(PeerMissing, match="make peers"):
        Peer(tmp_path / "bin" / "python")


def fake_peer(tmp_path, body):
    """A worker that runs ``body`` for every request line ``line``, in our Python."""
    script = tmp_path / "python"
    script.write_text(
        f"#!{sys.executable}\nimport json, sys\nfor line in sys.stdin:\n"
        f"    request = json.loads(line)\n    {body}\n    sys.stdout.flush()\n"
    )
    script.chmod(0o755)
    return script


def test_a_peer_answers_and_exchanges_arrays(tmp_path):
    body = "print(json.dumps({'path': request['path'], 'op': request['op']}))"
    with Peer(fake_peer(tmp_path, body)) as peer:
        path = peer.save(TRUTH)
        answer = peer.request("echo", path=path)
        assert answer["op"] == "echo"
        np.testing.assert_array_equal(peer.load(answer["path"]), TRUTH)
        assert not Path(path).exists()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("print(json.dumps({'error': 'no such layer'}))", "no such layer"),
        ("sys.exit('out of memory')", "died during 'work'.*\n*out of memory"),
        ("import time; time.sleep(60)", "more than 0.5 s"),
    ],
    ids=["error", "death", "silence"],
)
def test_a_peer_that_fails_is_reported(tmp_path, body, message):
    with Peer(fake_peer(tmp_path, body), timeout=0.5) as peer:
        with pytest.raises(PeerError, match=message):
            peer.request("work")


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON.exists(), reason="needs `make peers`")
@pytest.mark.parametrize("name", NETWORKS)
def test_the_peer_builds_every_network_and_agrees_in_float64(name):
    shape = (8, 8, 3) if name in IMAGE_NETWORKS else (5,)
    problem = Problem(NETWORKS[name](), shape)
    x1, x2 = (x.astype(np.float64) for x in problem.inputs(problem.gate))
    ours = np.stack(tg.ExactKernel(problem.net)(x1, x2, GET))
    assert gate.relative_error(peer_reference(problem), ours) < 1e-10


def test_the_vjp_reference_is_the_gradient():
    net = tg.serial(tg.Dense(1, 1.5))
    problem = Problem(net, (6,), gate=(2, 3))
    found = directional_reference(problem, tg.ExactKernel(net))
    # For one layer NNGP = NTK = w^2 x1 . x2 / d is linear in x1 and in x2 alike.
    np.testing.assert_allclose(found[0], found[1], rtol=1e-8)


def test_the_command_line_lists_measures_and_prints(tmp_path, capsys, monkeypatch):
    tiny = Suite(
        "tiny",
        "a stub",
        lambda: [make_case(ours=always(Constant(TRUTH)))],
        lambda lines: f"{len(lines)} lines, {lines[0]['contender']}",
    )
    monkeypatch.setitem(SUITES, "tiny", tiny)
    out = str(tmp_path / "tiny.jsonl")
    assert main(["tiny", "--list"]) == 0
    assert main(["tiny", "--quick", "--no-peer", "--out", out]) == 0
    assert main(["table", "tiny", "--out", out]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed == ["tiny/8: ours", "1 lines, ours", "1 lines, ours"]
    assert results.read(Path(out))[0]["command"].startswith(
        "python -m benchmarks tiny --quick"
    )


def test_the_command_line_fails_when_something_was_refused(tmp_path, monkeypatch):
    case = make_case(bad=always(Broken(-TRUTH)))
    monkeypatch.setitem(SUITES, "tiny", Suite("tiny", "", lambda: [case], str))
    out = tmp_path / "tiny.jsonl"
    assert main(["tiny", "--no-peer", "--out", str(out)]) == 1
    assert not out.exists()

"""A plane program in words: stages, the cone of need, and the cost."""

from .cone import cone, cost, entries
from .program import Activate, Affine, Box, Normalize, Op, Pool, Program


def plan(program: Program) -> str:
    """A printable table of what the program does to one pair of images."""
    high, wide = program.shape
    lines = [f"input {high} x {wide}, {program.channels} channels"]
    for s, (stage, need) in enumerate(
        zip(program.stages, cone(program), strict=True), 1
    ):
        held = entries(need, stage.shape, stage.torus)
        full = (stage.shape[0] * stage.shape[1]) ** 2
        kind = "torus" if stage.torus else "planes"
        lines.append(
            f"stage {s}: {stage.shape[0]} x {stage.shape[1]}, "
            f"{len(need.rows)} x {len(need.cols)} {kind}, {held:,} of {full:,} "
            "entries"
        )
        lines += [f"  {_words(op)}" for op in stage.ops]
        if stage.pool is not None:
            lines.append(f"  {_pool(stage.pool)}")
    lines.append(f"readout {program.readout}")
    lines += [f"  {_words(op)}" for op in program.head]
    lines.append(f"cost {cost(program):,} entry-layers per pair")
    return "\n".join(lines)


def _words(op: Op) -> str:
    if isinstance(op, Box):
        taps = [b + a + 1 for b, a in zip(op.before, op.after, strict=True)]
        return f"box {taps[0]} x {taps[1]}, {op.padding}"
    if isinstance(op, Affine):
        t = f"t <- {op.w:.6g} t + {op.u:.6g} k + {op.v:.6g}"
        return f"{t}, k <- {op.w:.6g} k + {op.b:.6g}"
    if isinstance(op, Activate):
        return repr(op.activation)
    if isinstance(op, Normalize):
        return f"normalize, eps {op.eps:.3g}"
    return type(op).__name__.lower()


def _pool(pool: Pool) -> str:
    size, step = (" x ".join(map(str, pair)) for pair in (pool.window, pool.strides))
    return f"pool {size}, stride {step}, scale {pool.scale:.6g}"

"""Networks on small images for what runs plane kernels of a GPU without one."""

import tangency as tg


def conv(taps=3, padding="SAME", strides=(1, 1)):
    shape = (taps, taps)
    return tg.Conv(8, shape, strides, padding, W_std=2**0.5, b_std=0.1)


def pool(window=2, strides=None, padding="VALID", **options):
    strides = (strides or window,) * 2
    return tg.AvgPool((window, window), strides, padding, **options)


RESIDUAL = tg.parallel(tg.serial(tg.Relu(), conv()), tg.Identity())
SHORTCUT = tg.parallel(
    tg.serial(conv(strides=(2, 2)), tg.Relu(), conv()), conv(1, strides=(2, 2))
)
CIRCULAR = tg.SumPool((3, 2), (2, 2), "CIRCULAR")
# Networks and images that are small, odd, not square, or of one axis.
NETWORKS = {
    "global pool": (
        tg.serial(conv(), tg.Relu(), conv(), tg.Relu(), tg.GlobalAvgPool()),
        (3, 2, 3),
    ),
    "cone of a flatten": (
        tg.serial(conv(), tg.Relu(), pool(), conv(), tg.Erf(), tg.Flatten()),
        (4, 2, 2),
    ),
    "head": (
        tg.serial(
            conv(), tg.Relu(), tg.Flatten(), tg.Dense(3), tg.Relu(), tg.Dense(1)
        ),
        (3, 2, 5),
    ),
    "unpadded": (
        tg.serial(conv(padding="VALID"), tg.Relu(), conv(), tg.Relu(), pool(),
                  tg.GlobalAvgPool()),
        (4, 5, 2),
    ),
    "circular": (
        tg.serial(conv(padding="CIRCULAR"), tg.Gelu(), CIRCULAR,
                  conv(2, "CIRCULAR"), tg.Relu(), tg.GlobalSumPool()),
        (4, 3, 1),
    ),
    "circular window larger than the image": (
        tg.serial(conv(5, "CIRCULAR"), tg.Relu(), conv(2, "CIRCULAR"), tg.Relu(),
                  tg.GlobalAvgPool()),
        (2, 3, 1),
    ),
    "residual": (
        tg.serial(conv(), tg.FanOut(2), RESIDUAL, tg.FanInSum(),
                  tg.LayerNorm(axis=(1, 2, 3)), tg.Sin(), tg.GlobalAvgPool()),
        (3, 3, 1),
    ),
    "strided shortcut": (
        tg.serial(tg.FanOut(2), SHORTCUT, tg.FanInSum(), tg.Relu(), tg.Flatten()),
        (5, 4, 2),
    ),
    "overlapping windows": (
        tg.serial(conv(), tg.Relu(), pool(3, 2, "SAME", normalize_edges=True),
                  conv(2), tg.Relu(), tg.GlobalAvgPool()),
        (3, 4, 2),
    ),
    "wide windows": (
        tg.serial(conv(4), tg.Relu(), conv(5), tg.Relu(), tg.Flatten()),
        (5, 6, 1),
    ),
    "rows wider than a warp": (
        tg.serial(conv(), tg.Relu(), tg.AvgPool((1, 2), (1, 2)), conv(), tg.Relu(),
                  tg.Flatten()),
        (1, 36, 1),
    ),
    "one axis": (
        tg.serial(tg.Conv(8, (3,), padding="SAME"), tg.Relu(), tg.AvgPool((2,), (2,)),
                  tg.Conv(8, (1,)), tg.Relu(), tg.GlobalAvgPool()),
        (4, 2),
    ),
    "standard parameterization": (
        tg.serial(
            tg.Conv(8, (2, 2), padding="SAME", parameterization="standard"),
            tg.Sign(), tg.Conv(8, (1, 1), parameterization="standard"), tg.Relu(),
            tg.GlobalAvgPool(),
        ),
        (2, 3, 2),
    ),
}  # fmt: skip
# They take an interpreter long.
SLOW = ("overlapping windows", "circular", "circular window larger than the image")

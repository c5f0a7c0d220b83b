"""The torch modules whose empirical NTK is checked: a name, and how to make it.

Every entry of ``MODULES`` makes ``(module, x1, x2)``; the path that each parameter
should take stands beside it in ``PATHS``.
"""

import torch

MODULES = {}
PATHS = {}


def module(x, **paths):
    """Register a module class or factory with the shape of a sample of its inputs."""

    def add(make):
        def case():
            torch.manual_seed(0)
            net = make().double().eval()
            return net, x(4), x(3)

        MODULES[make.__name__] = case
        PATHS[make.__name__] = {k.replace("__", "."): v for k, v in paths.items()}
        return make

    return add


def real(*shape):
    return lambda n: torch.randn(n, *shape, dtype=torch.float64)


def ids(size, *shape):
    return lambda n: torch.randint(0, size, (n, *shape))

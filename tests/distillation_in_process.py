"""A small distillation, to be killed; run with a path and a number of steps."""

import sys

import tangency as tg
from tangency.distillation import Config, Flip, Noise, Run

NET = tg.serial(tg.Flatten(), tg.Dense(8, b_std=0.1), tg.Relu(), tg.Dense(10))


def config(**settings):
    """Few and small steps, with a checkpoint after every other one."""
    return Config(
        **{
            "network": NET,
            "steps": 12,
            "batch": 40,
            "checkpoint_every": 2,
            "learn_labels": True,
            "augment": (Flip(), Noise(0.1)),
            **settings,
        },
    )


def training_set():
    """200 digits."""
    few = tg.digits()[0].few(200)
    return few.images, few.labels


if __name__ == "__main__":
    path, steps = sys.argv[1], int(sys.argv[2])
    Run.open(path).train(steps)

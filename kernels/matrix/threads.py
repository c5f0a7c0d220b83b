"""How many threads a process may start, where several share the cores."""

from ..cores import usable_cores

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def shared_between(processes: int) -> dict[str, str]:
    """Environment variables that give each of so many processes its share of cores."""
    threads = max(1, usable_cores() // processes)
    return dict.fromkeys(VARIABLES, str(threads))

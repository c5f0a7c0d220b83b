"""Quick compilation in JAX: it costs more than the arithmetic of small kernels.

One program also compiles several times faster than its operations one by one.
"""

# For ``jax.jit(f, compiler_options=QUICK)``, of values only: the gradient of one whole
# KIP loss had wrong first digits with it (jax 0.10.2 on a CPU), and right ones without.
QUICK = {"xla_backend_optimization_level": 0}

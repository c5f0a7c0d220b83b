"""Quick compilation in JAX: it costs more than the arithmetic of small kernels.

One program also compiles several times faster than its operations one by one.
"""

# For ``jax.jit(f, compiler_options=QUICK)``.
QUICK = {"xla_backend_optimization_level": 0}

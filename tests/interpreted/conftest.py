"""Tests of Triton kernels in Triton's interpreter, which stands in for a GPU.

It has to be switched on before triton is imported, so that these tests run in a process
of their own: ``tests/test_triton.py`` starts one for each file. By hand:

    TRITON_INTERPRET=1 python -m pytest tests/interpreted
"""

import os

if os.environ.get("TRITON_INTERPRET") != "1":
    collect_ignore_glob = ["test_*.py"]

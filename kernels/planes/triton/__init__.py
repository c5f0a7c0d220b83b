"""The plane programs and the fully connected kernels on a GPU, in Triton.

Files of kernels import only triton, so that one may be compiled, or interpreted, where
no GPU is; files named ``torch_*.py`` launch them.
"""

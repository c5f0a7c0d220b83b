"""The command line: kernels of arrays on disk, without a line of Python."""

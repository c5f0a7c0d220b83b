"""What a GPU does with the exact kernels: one command, one process per case."""

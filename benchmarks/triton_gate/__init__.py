"""What the compiler makes of the Triton kernels, found out without a GPU."""

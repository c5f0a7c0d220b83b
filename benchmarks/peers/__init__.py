"""Other libraries, each in its own environment, driven over pipes."""

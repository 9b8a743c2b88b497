"""Side-by-side comparisons: everything in a table ran on the same machine in the same run. `python -m benchmarks`."""

"""How a pipeline runs: runners, workers, clusters, coders, counters and the progress display."""

"""The nouns of the package: time range, window, chunk, receipt, errors, limits. Nothing here does I/O or depends on Beam."""

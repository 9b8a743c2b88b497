"""The nouns: time range, window, chunk, receipt, errors, limits. Nothing here does I/O or knows Beam."""

"""The `verify` command: the comparison of a copy with its source, the repair, and the report."""

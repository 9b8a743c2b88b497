"""The `tail` command: the copy that is kept fresh."""

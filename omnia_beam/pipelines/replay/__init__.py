"""The `replay` command: dead letters, written again."""

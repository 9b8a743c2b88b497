"""One story each, read top to bottom: backfill, and what it needs around it."""

"""The `profile` command: figures of each series that a job's destination holds, and a page that shows them."""

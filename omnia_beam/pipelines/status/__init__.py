"""The `status` command: what a job has copied and what is missing, from its own records, as a page for people."""

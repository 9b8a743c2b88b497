"""The state of a job on disk: the lease, the ledger of receipts, and the dead letters."""

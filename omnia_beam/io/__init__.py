"""Beam's edges: the Omnia source, the sinks, the ledger, the coders."""

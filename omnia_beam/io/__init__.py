"""Sources, sinks, the ledger and the coders: everything that reads or writes outside of memory, and its link to Beam."""

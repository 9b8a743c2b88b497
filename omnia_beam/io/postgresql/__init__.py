"""Tables of PostgreSQL and TimescaleDB as a source and as a sink."""

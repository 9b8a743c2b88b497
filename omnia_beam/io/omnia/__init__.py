"""The Omnia Timeseries API as a source and as a sink."""

"""The calls of the Omnia Timeseries API."""

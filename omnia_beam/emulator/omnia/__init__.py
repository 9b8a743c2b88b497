"""The emulated Omnia Timeseries API."""

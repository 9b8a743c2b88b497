"""Bytes to columns and back: the protobuf and JSON forms of the Omnia Timeseries API."""

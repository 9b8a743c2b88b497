"""Parquet files: how they are described, read and written."""

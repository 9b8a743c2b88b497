"""Schedules of faults on an object store in memory; see `play.py`."""

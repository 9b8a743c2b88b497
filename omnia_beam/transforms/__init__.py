"""Beam transforms without I/O: decode, map, filter, explode."""

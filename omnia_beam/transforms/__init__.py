"""Beam without I/O: decode, map, filter, explode."""

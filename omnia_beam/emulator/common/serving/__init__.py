"""The HTTP side that every emulated service shares: the server, its faults, its own endpoints and how responses are sent."""

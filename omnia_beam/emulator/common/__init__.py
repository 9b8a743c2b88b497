"""What every emulated service shares: the stored points, the signals that fill it, its faults and its journal."""

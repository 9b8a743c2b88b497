"""The commands, one module each that reads from top to bottom, and the modules that they share."""

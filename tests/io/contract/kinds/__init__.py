"""One module a kind; each holds a `Place` called `PLACE`."""

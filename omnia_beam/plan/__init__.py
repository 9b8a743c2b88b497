"""Which windows a job reads: packing series and time into windows, and the plan that a state keeps."""

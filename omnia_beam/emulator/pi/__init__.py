"""An emulated PI Web API with one data server: points, digital and system states, recorded values, writes, batches."""

"""An Omnia Timeseries service over real HTTP, for tests, demonstrations and other people's CI.

It shares no codec, planner or window logic with the product, so that a mistake there is not repeated here.
Start it as a process (`omnia_beam.emulator.process.EmulatorProcess`, or `omnia-beam emulator` in a shell) or on a
thread of this process (`omnia_beam.emulator.thread.EmulatorThread`); `omnia_beam.emulator.common.loading.load_store` returns
the exact points of every series without HTTP.
"""

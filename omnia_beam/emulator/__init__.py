"""Historians over real HTTP, for tests, demonstrations and other people's CI: an Omnia Timeseries service and a PI Web API.

They share no codec, planner or window logic with the product, so that a mistake there is not repeated here.
Start one as a process (`omnia_beam.emulator.process.EmulatorProcess`, or `omnia-beam emulator` in a shell) or on a
thread of this process (`omnia_beam.emulator.thread.EmulatorThread`); `omnia_beam.emulator.common.loading.load_store` returns
the exact points of every Omnia series without HTTP, `omnia_beam.emulator.pi.loading.load_archive` those of PI points.
"""

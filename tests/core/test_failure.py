"""A window's failure keeps which window and why."""

from __future__ import annotations

import json
import pickle

from omnia_beam.core.errors import ThrottledError
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey

KEY = ChunkKey(("a", "b"), TimeRange(0, 100))


def test_names_the_window_and_the_reason() -> None:
    failure = WindowFailure.of(KEY, ThrottledError("429 after 7 tries", status=429))
    assert json.loads(json.dumps(failure.to_json())) == {
        "series": ["a", "b"],
        "start_ns": 0,
        "end_ns": 100,
        "error": "ThrottledError",
        "message": "429 after 7 tries",
    }
    assert pickle.loads(pickle.dumps(failure)) == failure

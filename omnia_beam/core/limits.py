"""The service's limits and our own, each with its source.

Sources: [sdk] `omnia-timeseries` 2.0.0, [changelog] and [wiki] the public OmniaPlant pages, [ours] a choice made here.
"""

from typing import Final

MAX_SERIES_PER_REQUEST: Final = 100
"""Series in one multi-series request. [changelog v1.5]"""

MAX_POINTS_PER_ANSWER: Final = 100_000
"""Points in one answer, and so the largest `limit`. Whether a multi-series answer counts per item or in all is unknown:
plans assume in all, which is right either way. [changelog v1.5]"""

SERVICE_DEFAULT_LIMIT: Final = 1_000
"""What the service takes when a request names no `limit`. [wiki]"""

MAX_AGGREGATE_BUCKETS: Final = 10_000
"""Buckets to keep to in one aggregate request. [wiki]"""

MAX_METADATA_ITEMS: Final = 100_000
"""Items in one metadata result set. [wiki]"""

MAX_CHUNK_POINTS: Final = 1_000_000
"""Points in one chunk, so that memory stays bounded whatever the range: about 28 MB of wire bytes. [ours]"""

TIME_RESOLUTION_NS: Final = 100
"""What a JSON time of the service can hold: seven decimals of a second. [sdk]"""

GOOD: Final = 192
"""The status of a good point, OPC style. [wiki]"""

MAX_STATUS: Final = 2**32 - 1
"""Statuses are uint32 on the wire. [sdk, schema]"""

"""The limits of the service and of omnia-beam, each with its source.

Sources: [sdk] `omnia-timeseries` 2.0.0, [changelog] and [wiki] the public OmniaPlant pages, [ours] a choice made here.
"""

from typing import Final

MAX_SERIES_PER_REQUEST: Final = 100
"""Series in one multi-series request. [changelog v1.5]"""

MAX_POINTS_PER_RESPONSE: Final = 100_000
"""Points in one response, and so the largest `limit`. Whether a multi-series response counts per item or in all is unknown:
plans assume in all, which is safe in both cases. [changelog v1.5]"""

SERVICE_DEFAULT_LIMIT: Final = 1_000
"""The limit that the service applies when a request names no `limit`. [wiki]"""

MAX_AGGREGATE_BUCKETS: Final = 10_000
"""Recommended upper bound of the buckets in one aggregate request. [wiki]"""

MAX_METADATA_ITEMS: Final = 100_000
"""Items in one metadata result set. [wiki]"""

MAX_CHUNK_POINTS: Final = 1_000_000
"""Points in one chunk, about 28 MB of wire bytes, so that memory stays bounded whatever the range. [ours]"""

TIME_RESOLUTION_NS: Final = 100
"""Resolution of the service's JSON times in ns: they have seven decimals of a second. [sdk]"""

GOOD: Final = 192
"""The status of a good point, OPC style. [wiki]"""

MAX_STATUS: Final = 2**32 - 1
"""The largest status: statuses are uint32 on the wire. [sdk, schema]"""

"""The keys of an Omnia Timeseries service as a source and as a sink."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from pydantic import BeforeValidator, ConfigDict, WithJsonSchema, model_validator

from omnia_beam.config.create_missing import CreateMissing
from omnia_beam.config.fields import Factor, OneOrMany, PathText, SeriesId, Status, Text
from omnia_beam.config.kind import SinkOptions, SourceOptions
from omnia_beam.config.secrecy import show_value
from omnia_beam.config.section import Section, key, problem
from omnia_beam.core.limits import MAX_STATUS, TIME_RESOLUTION_NS
from omnia_beam.net.http.options import FederationSource, ServiceOptions

if TYPE_CHECKING:
    pass


_CONNECTION: Final = frozenset(
    {
        "allow_plain_http",
        "ca_bundle",
        "credential",
        "format",
        "page_limit",
        "rate",
        "resource_id",
        "retry",
        "subscription_key_env",
        "timeouts",
    }
)
"""Keys of a connection that change no point."""


def _one_selection(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [{"required": [name]} for name in schema["properties"]]


def _read_bad_status(value: Any) -> Any:
    if isinstance(value, str) and value.isascii() and value.isdigit():  # a number, as YAML is read here
        value = int(value)
    if value == "keep" or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_STATUS):
        return value
    raise problem(f"{show_value((), value)} is no status: a whole number from 0 to {MAX_STATUS}, or keep")


BadStatus = Annotated[
    Literal["keep"] | int,
    BeforeValidator(_read_bad_status),
    WithJsonSchema(
        {
            "title": "keep or a status",
            "anyOf": [{"enum": ["keep"]}, {"type": "integer", "minimum": 0, "maximum": MAX_STATUS}],
        }
    ),
]


class SearchConfig(Section):
    """A search in the service's metadata: what is given must all match; `*` matches anything."""

    model_config = ConfigDict(json_schema_extra=_one_selection)
    starter: ClassVar = {"name": ""}

    # Field names keep the service's own spelling, so that its documentation applies here. [sdk]
    name: Text | None = key("Name, such as `*PT*`.", None)
    description: Text | None = key("Description.", None)
    facility: Text | None = key("Facility (plant) code, such as `1191`.", None)
    unit: Text | None = key("Engineering unit.", None)
    source: Text | None = key("System that the timeseries comes from.", None)
    assetId: Text | None = key("Asset id.", None)
    externalId: Text | None = key("External id.", None)

    @model_validator(mode="after")
    def _asks_for_something(self) -> SearchConfig:
        if not self.patterns():
            raise problem('is empty: give at least one of its keys; name: "*" matches everything')
        return self

    def patterns(self) -> dict[str, str]:
        """Return the keys that were given, by name."""
        return {name: value for name, value in self if value is not None}


class SeriesSelection(Section):
    """Which timeseries to read: all that any of the keys names, each once."""

    model_config = ConfigDict(json_schema_extra=_one_selection)
    starter: ClassVar = {"search": ""}

    ids: OneOrMany[SeriesId] = key("Ids of timeseries.", ())
    ids_file: PathText | None = key(
        "File of ids: one a line, or CSV with a column `id`, `series_id` or `source`; `#` begins a comment.", None
    )
    search: OneOrMany[SearchConfig] = key("Searches in the service's metadata; one or a list.", ())

    @model_validator(mode="after")
    def _selects_something(self) -> SeriesSelection:
        if not self.ids and self.ids_file is None and not self.search:
            raise problem("selects nothing: give ids, ids_file or search")
        return self


class OmniaSource(ServiceOptions, SourceOptions):
    """An Omnia Timeseries service to read from."""

    beside: ClassVar = _CONNECTION | {"series"}
    job_starter: ClassVar = {"window": ""}

    kind: Literal["omnia"] = key("The kind of source.")
    federation_source: FederationSource | None = key(
        "Which of the service's stores is read; the response depends on it. Where it is not given, the service decides.",
        None,
    )
    series: SeriesSelection = key("Which timeseries to read.")
    status: OneOrMany[Status] = key("Read only points with one of these statuses.", ())

    def identity(self) -> dict[str, str]:
        """Return the service, its store and the filter of statuses; a rate, a format or a page limit changes no point."""
        return {
            "source": f"omnia {self.environment or self.base_url}",
            "federation_source": self.federation_source or "not given",
            "reading": "as served",
            "statuses": ",".join(map(str, sorted(set(self.status)))) if self.status else "all",
        }

    def selection(self) -> str:
        """Return the selection of series as a text."""
        return repr(self.series)

    def resolved(self, series_ids: tuple[str, ...]) -> OmniaSource:
        """Return the options with ids in place of a file of ids, which only this machine may have."""
        if self.series.ids_file is None:
            return self
        series = self.series.model_copy(update={"ids": series_ids, "ids_file": None})
        return self.model_copy(update={"series": series})


class OmniaSink(ServiceOptions, SinkOptions):
    """An Omnia Timeseries service to write to."""

    beside: ClassVar = _CONNECTION | {"create_missing", "batch_points", "batch_bytes"}
    job_starter: ClassVar = {"mapping": ""}

    kind: Literal["omnia"] = key("The kind of sink.")
    create_missing: CreateMissing | None = key(
        "Create target timeseries that do not exist, with this metadata. Without it, a missing target is an error.",
        None,
    )
    batch_points: int = key("Points in one write, at most.", 10_000, ge=1, le=1_000_000)
    batch_bytes: int = key("Bytes in one write's body, at most.", 4_000_000, ge=1_000, le=1_000_000_000)
    nan: Literal["dead_letter", "drop_counted", "as_bad_status"] = key(
        "What happens to NaN and infinities, which the service's JSON cannot hold: kept as dead letters, dropped and counted, "
        "or written as `bad_value` with `bad_status`.",
        "dead_letter",
    )
    bad_status: BadStatus = key(
        "Status written by `nan: as_bad_status`; `keep`: the point's own where it is a bad one (neither good nor uncertain), "
        "otherwise 0.",
        0,
    )
    bad_value: Factor = key("Value written by `nan: as_bad_status`.", 0.0)
    time_resolution: Literal["dead_letter", "truncate"] = key(
        f"What happens to times finer than the service's {TIME_RESOLUTION_NS} ns: kept as dead letters, or cut off (and "
        "counted; two points in the same step become one).",
        "dead_letter",
    )

    def identity(self) -> dict[str, str]:
        """Return the service, and what is stored of points that it cannot hold."""
        nan = f"as_bad_status({self.bad_status},{self.bad_value!r})" if self.nan == "as_bad_status" else self.nan
        return {
            "sink": f"omnia {self.environment or self.base_url}",
            "writing": f"nan={nan} time_resolution={self.time_resolution}",
        }

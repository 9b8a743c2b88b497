"""The keys of a PI data server, read through PI Web API."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, model_validator

from omnia_beam.config.fields import BaseUrl, OneOrMany, PathText, Status, Text, VariableName
from omnia_beam.config.kind import SourceOptions, digest
from omnia_beam.config.section import Section, key, problem
from omnia_beam.core.addresses import is_loopback
from omnia_beam.core.limits import MAX_STATUS
from omnia_beam.net.auth.credentials import AnyCredential, CredentialSpec
from omnia_beam.net.http.options import RateOptions, RetryOptions, TimeoutsOptions, exposed_secret
from omnia_beam.net.http.retry import RetryPolicy
from omnia_beam.net.http.settings import ServiceSettings

PAGE_LIMIT = 150_000
"""Values that PI Web API returns in one response unless it is configured otherwise (`MaxReturnedItemsPerCall`). [aveva]"""

SameTime = Literal["last", "first", "dead_letter"]


def _tag_name(text: str) -> str:
    if any(each in "*?" for each in text):
        raise problem(f"{text!r} is a pattern and no name: write it below search: {{name: …}}")
    return text.strip()


TagName = Annotated[Text, AfterValidator(_tag_name)]
"""The name of a point; it may hold blanks."""


def _one_selection(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [{"required": [name]} for name in schema["properties"]]


class PiSearch(Section):
    """A search for points of the data server: what is given must all match, in any case; `*` and `?` are wildcards."""

    model_config = ConfigDict(json_schema_extra=_one_selection)
    starter: ClassVar = {"name": ""}

    name: Text | None = key("Name, such as `27PT*`.", None)
    description: Text | None = key("Description; without `name` all points are listed to compare it.", None)

    @model_validator(mode="after")
    def _asks_for_something(self) -> PiSearch:
        if self.name is None and self.description is None:
            raise problem('asks for nothing: give name or description; name: "*" asks for everything')
        return self


class PiSelection(Section):
    """Which points to read: all that any of the keys names, each once."""

    model_config = ConfigDict(json_schema_extra=_one_selection)
    starter: ClassVar = {"search": ""}

    ids: OneOrMany[TagName] = key("Names of points, in any case.", ())
    ids_file: PathText | None = key(
        "File of names: one a line, or CSV with a column `id`, `series_id` or `source`; `#` begins a comment.", None
    )
    search: OneOrMany[PiSearch] = key("Searches among the points of the data server; one or a list.", ())

    @model_validator(mode="after")
    def _selects_something(self) -> PiSelection:
        if not self.ids and self.ids_file is None and not self.search:
            raise problem("selects nothing: give ids, ids_file or search")
        return self


class PiSource(SourceOptions):
    """Points of a PI data server, read through PI Web API."""

    beside: ClassVar = frozenset(
        {
            "credential",
            "resource_id",
            "subscription_key_env",
            "ca_bundle",
            "series",
            "page_limit",
            "counts",
            "rate",
            "retry",
            "timeouts",
            "allow_plain_http",
        }
    )
    job_starter: ClassVar = {"window": ""}
    refused_status_maps: ClassVar = {"pi": "a source of kind pi gives Omnia's statuses already"}

    kind: Literal["pi"] = key("The kind of source.")
    base_url: BaseUrl = key("Address of PI Web API, such as `https://pi.example.com/piwebapi`.")
    data_server: Text | None = key(
        "Name of the data server; where PI Web API has only one, it need not be given.", None
    )
    credential: AnyCredential = key("How to sign in.")
    resource_id: Text | None = key("OAuth resource that tokens are asked for, by credentials of Azure.", None)
    subscription_key_env: VariableName | None = key(
        "Environment variable that holds a gateway's `Ocp-Apim-Subscription-Key`.", None
    )
    ca_bundle: PathText | None = key(
        "PEM file of the authorities to trust for TLS; otherwise `REQUESTS_CA_BUNDLE` or the usual ones.", None
    )
    series: PiSelection = key("Which points to read.")
    states: dict[str, Status] = key(
        default_factory=dict,
        description='Status of system states, by their name in any case: `{"I/O Timeout": 0}`; 0 where not given.',
    )
    same_time: SameTime = key(
        "What becomes of several values at one time: the last or the first of them is kept, or all of them become dead "
        "letters; counted per series.",
        "last",
    )
    page_limit: int = key(
        "Values in one response, at most; where the server allows less, that is found by itself.",
        PAGE_LIMIT,
        ge=2,
        le=2**31 - 1,
    )
    counts: bool = key(
        "Ask the server how many values there are (summary Count), to plan and to prove that nothing was left out. `false` "
        "for a server that counts otherwise than it returns.",
        True,
    )
    rate: RateOptions = key("The budget of the whole job, all workers together.", default_factory=RateOptions)
    retry: RetryOptions = key("How often and how long one request is tried.", default_factory=RetryOptions)
    timeouts: TimeoutsOptions = key("How long the service may keep a request waiting.", default_factory=TimeoutsOptions)
    allow_plain_http: bool = key(
        "Let the password, token or key cross the network in plain http, for all to read; each run warns of it.", False
    )

    @model_validator(mode="after")
    def _signs_in_safely(self) -> PiSource:
        needs_resource = isinstance(self.credential, CredentialSpec) and self.credential.sends is not None
        if needs_resource and self.resource_id is None:
            raise problem(
                f"credential {self.credential.kind} needs the OAuth resource that tokens are asked for",
                at="resource_id",
            )
        exposed = exposed_secret(self.base_url, self.credential.sends, self.subscription_key_env)
        if exposed is not None and not self.allow_plain_http:
            raise problem(f"{exposed}: use https, or allow it by allow_plain_http: true", at="base_url")
        return self

    @model_validator(mode="after")
    def _names_each_state_once(self) -> PiSource:
        seen: dict[str, str] = {}
        for name in self.states:
            if seen.setdefault(name.strip().casefold(), name) != name:
                raise problem(f"{name} and {seen[name.strip().casefold()]} are one state", at="states")
        return self

    def identity(self) -> dict[str, str]:
        """Return the server, and what becomes of states and of several values at one time."""
        states = sorted([name.strip().casefold(), status] for name, status in self.states.items() if status)
        server = "its data server" if self.data_server is None else self.data_server.casefold()
        return {
            "source": f"pi {self.base_url} {server}",
            "reading": f"same_time={self.same_time} states={digest(states) if states else 'bad'}",
        }

    def selection(self) -> str:
        """Return the selection of series as a text."""
        return repr(self.series)

    def resolved(self, series_ids: tuple[str, ...]) -> PiSource:
        """Return the options with names in place of a file of names, which only this machine may have."""
        if self.series.ids_file is None:
            return self
        series = self.series.model_copy(update={"ids": series_ids, "ids_file": None})
        return self.model_copy(update={"series": series})

    def service(self) -> ServiceSettings:
        """Return the settings of the service, with the whole budget of the job."""
        times = self.timeouts
        return ServiceSettings(
            base_url=self.base_url,
            resource_id=self.resource_id,
            credential=self.credential,
            requests_per_second=self.rate.requests_per_second,
            max_in_flight=self.rate.max_in_flight,
            connect_timeout_s=times.connect / 1e9,
            read_timeout_s=times.read / 1e9,
            attempt_timeout_s=times.attempt / 1e9,
            retry=RetryPolicy.of(self.retry),
            subscription_key_env=self.subscription_key_env,
            ca_bundle=self.ca_bundle,
            compression=not is_loopback(self.base_url),  # on this machine gzip costs more than it saves
            # PI Web API refuses a POST without it where its defence against forged requests is on. [aveva]
            headers=(("X-Requested-With", "omnia-beam"),),
            allow_plain_http=self.allow_plain_http,
        )

    def state_statuses(self) -> dict[str, int]:
        """Return the statuses of system states by their case-folded names."""
        return {name.strip().casefold(): min(status, MAX_STATUS) for name, status in self.states.items()}

"""The keys below `storage:`, which configure how object stores are reached; none of them holds a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, create_model, model_validator

from omnia_beam.config.fields import BaseUrl, Text, VariableName
from omnia_beam.config.section import key, problem
from omnia_beam.config.storage import StorageOptions
from omnia_beam.core.addresses import is_loopback
from omnia_beam.net.auth.credentials import CredentialSpec
from omnia_beam.store.place import StorageEntry


def _check_prefix(text: str) -> str:
    if not text.startswith(("az://", "s3://", "gs://")):
        raise problem(
            "is the beginning of places in their short spelling: az://CONTAINER/…, s3://BUCKET/… or gs://BUCKET/…"
        )
    return text


class StorageKeys(StorageOptions):
    """How the places below a prefix are reached. Environment variables must be set on workers too."""

    account: Text | None = key("Azure: the storage account, where the place does not name it.", None)
    endpoint: BaseUrl | None = key(
        "URL of the service, in place of the cloud's own. Plain http is allowed to this machine alone.", None
    )
    account_key_env: VariableName | None = key("Azure: environment variable that holds an account key.", None)
    sas_token_env: VariableName | None = key("Azure: environment variable that holds a SAS token.", None)
    credential: CredentialSpec | None = key("Azure: how to sign in.", None)
    region: Text | None = key("S3: the bucket's region.", None)
    anonymous: bool = key("Send unsigned requests, for public data and local emulators.", False)

    @model_validator(mode="after")
    def _fits_its_service(self) -> StorageKeys:
        service = self._prefix.partition("://")[0]
        azure = ("account", "account_key_env", "sas_token_env", "credential")
        for name in azure if service != "az" else ():
            if getattr(self, name) is not None:
                raise problem(f"is a key of Azure, and {self._prefix} is none of its places", at=name)
        if self.region is not None and service != "s3":
            raise problem(f"is a key of S3, and {self._prefix} is none of its places", at="region")
        ways = [name for name in (*azure[1:], "anonymous") if getattr(self, name)]
        if len(ways) > 1:
            raise problem(f"excludes {ways[0]}: give one of the two", at=ways[1])
        if self.endpoint is not None and self.endpoint.startswith("http://") and not is_loopback(self.endpoint):
            raise problem("plain http would carry keys over the network for all to read: use https", at="endpoint")
        return self

    @property
    def _prefix(self) -> str:
        return str(getattr(self, "for"))

    @property
    def entry(self) -> StorageEntry:
        """The settings as the stores take them."""
        return StorageEntry(
            self._prefix,
            self.account,
            self.endpoint,
            self.account_key_env,
            self.sas_token_env,
            self.credential,
            self.region,
            self.anonymous,
        )


if TYPE_CHECKING:

    class StorageConfig(StorageKeys): ...

else:  # `for` is a word of Python, which no class body can name a field
    StorageConfig = create_model(
        "StorageConfig",
        __base__=StorageKeys,
        __module__=__name__,
        __doc__=StorageKeys.__doc__,
        **{
            "for": (
                Annotated[Text, AfterValidator(_check_prefix)],
                key(
                    "Beginning of the places that are meant, in their short spelling, whatever spelling the job uses: "
                    "`az://lake/`, `s3://bucket/raw/`; `az://` alone is all of Azure."
                ),
            )
        },
    )

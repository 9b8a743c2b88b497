"""Streaming: choose the timeseries that the service forwards as they arrive, and their destination."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from omnia_beam.core.errors import UsageError
from omnia_beam.core.redaction import remember_secret
from omnia_beam.net.api import operations as ops
from omnia_beam.net.api.api import ApiClient
from omnia_beam.net.api.items import ServiceMessage, items_of, message_of
from omnia_beam.net.api.operations import path_of


@dataclass(frozen=True)
class StreamSubscription:
    """A timeseries that is forwarded, and the customer that receives it."""

    id: str
    customer_id: str | None = None


class StreamingCalls(ApiClient):
    """The streaming calls of `OmniaClient`. Common errors: those of `ServiceSession.send`."""

    def get_streaming_subscriptions(self) -> list[StreamSubscription]:
        """Return the subscriptions of the signed-in identity."""
        items = items_of(ops.GET_SUBSCRIPTIONS.send(self._session))
        return [StreamSubscription(str(item.get("id", "")), item.get("customerId")) for item in items]

    def create_stream_subscription(self, ids: Iterable[str]) -> ServiceMessage:
        """Subscribe to these timeseries.

        Raises:
            UsageError: no id, or a text that cannot be an id.
        """
        wanted = [ids] if isinstance(ids, str) else list(ids)
        if not wanted:
            raise UsageError("create_stream_subscription without an id")
        for id in wanted:
            path_of(id)
        body = [{"id": id} for id in wanted]
        return message_of(ops.CREATE_SUBSCRIPTION.send(self._session, json_body=body))

    def delete_stream_subscription(self, id: str) -> ServiceMessage:
        """End the subscription to this timeseries."""
        return message_of(ops.DELETE_SUBSCRIPTION.send_delete(self._session, id))

    def set_stream_destination(self, connection_string: str) -> ServiceMessage:
        """Set the destination of subscriptions: an Event Hub's connection string.

        The string holds a key: it goes into the request and nowhere else.

        Raises:
            UsageError: it is empty.
        """
        if not connection_string.strip():
            raise UsageError("set_stream_destination needs the connection string of an Event Hub")
        remember_secret(connection_string)
        for part in connection_string.split(";"):
            name, _, value = part.partition("=")
            if name.strip().lower() in ("sharedaccesskey", "sharedaccesssignature"):
                remember_secret(value.strip())
        body = {"connectionString": connection_string}
        return message_of(ops.SET_DESTINATION.send(self._session, json_body=body))

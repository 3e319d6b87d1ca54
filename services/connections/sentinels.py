"""Connections to a server that Sentinels choose: each new connection asks them which one it is at the moment."""

from collections.abc import Sequence
from typing import Any

from redis import ConnectionPool, Redis, SSLConnection
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry
from redis.sentinel import (
    MasterNotFoundError,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

# Seconds in which one Sentinel must answer. Several may be down, and a request waits for 2 s altogether.
_TIMEOUT = 0.4


class NoLeader(MasterNotFoundError):
    """No Sentinel names a server that leads. The cause is the last Sentinel's error, if one had an error."""


class NoSuchService(RedisConnectionError):
    """A Sentinel answers, and does not know the name."""


class Sentinels:
    """The Sentinels of one server, for redis-py's pool in place of its own class.

    That class swaps entries of its list while other threads read it, so that Sentinels get lost, retries each one for
    seconds, and drops the causes of errors.
    """

    def __init__(self, places: Sequence[tuple[str, int]], arguments: dict[str, Any], *, tls: bool) -> None:
        """
        Args:
            places: host and port of each.
            arguments: for the connections to them: login and TLS.
        """
        common: dict[str, Any] = {
            "retry": Retry(NoBackoff(), 1),
            "socket_timeout": _TIMEOUT,
            "socket_connect_timeout": _TIMEOUT,
        }
        if tls:
            common["connection_class"] = SSLConnection
        self._clients = [
            Redis.from_pool(ConnectionPool(host=host, port=port, **common, **arguments)) for host, port in places
        ]
        self._last = 0  # the one that answered last

    def discover_master(self, service: str) -> tuple[str, int]:
        """Host and port of the server that leads now.

        Raises:
            NoLeader: no Sentinel that answers knows one; waiting may help.
            NoSuchService: those that answer do not know the name.
        """
        first, count = self._last, len(self._clients)
        failure: RedisError | None = None
        known = unknown = False
        for step in range(count):
            number = (first + step) % count
            try:
                states: Any = self._clients[number].sentinel_masters()
            except RedisError as error:
                # One that refuses us says more than one that is down.
                if failure is None or isinstance(error, AuthenticationError | ResponseError):
                    failure = error
                continue
            state = states.get(service)
            if state is None:
                unknown = True
            elif state["is_master"] and not state["is_sdown"] and not state["is_odown"]:
                self._last = number
                return str(state["ip"]), int(state["port"])
            else:
                known = True
        if known:
            raise NoLeader("The Sentinels say that the server is down.")
        if unknown:
            raise NoSuchService("No Sentinel knows a server of that name.")
        raise NoLeader("No Sentinel names a server that leads.") from failure

    def close(self) -> None:
        for client in self._clients:
            client.close()


class _Following:
    """A connection that asks the Sentinels wherever it opens a socket.

    redis-py's own asks in `connect` only. A command that is sent on a closed connection does not call that, and would
    go to the server that led before.
    """

    def _connect_retry(self) -> None:
        if not self._sock:  # type: ignore[attr-defined] # of the class beside it, as all below
            check = self.connection_pool.check_connection  # type: ignore[attr-defined]
            self.connect_check_health(check_health=check, retry_socket_connect=False)  # type: ignore[attr-defined]

    def _connect(self) -> Any:
        self.host, self.port = self.connection_pool.get_master_address()  # type: ignore[attr-defined]
        return super()._connect()  # type: ignore[misc]

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)  # type: ignore[misc]
        except ResponseError as error:
            # The answer to a blocking command where the server became a replica.
            if str(error).startswith("UNBLOCKED"):
                self.disconnect()  # type: ignore[attr-defined]
                raise RedisConnectionError("The server became a replica.") from error
            raise


class Connection(_Following, SentinelManagedConnection):
    """A plain connection."""


class TlsConnection(_Following, SentinelManagedSSLConnection):
    """A connection with TLS."""


class Pool(SentinelConnectionPool):
    """A pool that closes its connections to the Sentinels with its own."""

    def __init__(self, service: str, sentinels: Sentinels, *, tls: bool, **arguments: Any) -> None:
        self._sentinels = sentinels
        super().__init__(  # type: ignore[no-untyped-call]
            service, sentinels, connection_class=TlsConnection if tls else Connection, **arguments
        )

    def disconnect(self, inuse_connections: bool = True) -> None:
        super().disconnect(inuse_connections)
        if inuse_connections:  # else only idle ones are closed, since the server has changed
            self._sentinels.close()

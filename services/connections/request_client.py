"""A Redis client for threads that serve requests: each thread keeps a connection of its own."""

import os
import threading
import time
from collections.abc import Sequence
from typing import Any

from hiredis import pack_command
from redis import ConnectionPool, Redis
from redis.client import Pipeline
from redis.commands.core import Script
from redis.connection import AbstractConnection
from redis.exceptions import NoScriptError, RedisError, ResponseError


class RequestClient(Redis):
    """A client in which a command costs a third of what it costs in redis-py's own.

    redis-py takes a connection from its pool for each command and gives it back. Here a thread takes one for its first
    command and gives it back when it ends. Commands are not retried, whatever the pool's connections say. The timeout
    of a command that waits at the server begins when the server has to answer. Pipelines, watches and everything else
    use the pool as in redis-py.

    An error has the seconds since its command was sent (`waited`), for the log (failures.py).
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._own = threading.local()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command and read its reply. Raises: RedisError. A connection that failed is opened again later."""
        began = time.monotonic()
        try:
            connection = self._connection()
            # Both disconnect after an error, and sending connects again.
            connection.send_command(*args, **options)
            if args[0] in _WAITING:
                connection.can_read(_waits(args))
            return self.parse_response(connection, args[0], **options)  # type: ignore[no-untyped-call] # redis-py has no types
        except RedisError as error:
            _measure(error, began)
            raise

    def execute_each(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send commands together. The reply of each, or the error (`ResponseError`) that is its reply.

        Raises:
            RedisError: the connection failed. Any of the commands may have run.
        """
        began = time.monotonic()
        try:
            connection = self._connection()
            connection.send_packed_command(connection.pack_commands(commands))
            return self._replies(connection, commands)
        except RedisError as error:
            _measure(error, began)
            raise

    def _replies(self, connection: Any, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        replies: list[Any] = []
        try:
            for command in commands:
                try:
                    replies.append(self.parse_response(connection, command[0]))  # type: ignore[no-untyped-call]
                except ResponseError as error:
                    replies.append(error)
        except BaseException:
            connection.disconnect()  # replies may be left that nobody reads
            raise
        return replies

    def _connection(self) -> Any:
        """The connection of this thread."""
        place: _Place | None = getattr(self._own, "place", None)
        if place is None or place.process != os.getpid():
            place = self._own.place = _Place(self.connection_pool)
        if _is_stale(place.connection):
            place.connection.disconnect()
        return place.connection

    def register_script(self, script: Any) -> Script:
        """As redis-py's; without a pipeline, the script's calls cost no more than other commands."""
        return _Script(self, script)

    def pipeline(self, transaction: Any = True, shard_hint: Any = None) -> Pipeline:
        """As redis-py's."""
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _Pipeline(Pipeline):
    def execute(self, raise_on_error: bool = True) -> list[Any]:
        began = time.monotonic()
        try:
            return super().execute(raise_on_error)
        except RedisError as error:
            _measure(error, began)
            raise


class _Script(Script):
    """redis-py imports its pipelines at each call, to ask whether the call is part of one."""

    def __call__(self, keys: Any = None, args: Any = None, client: Any = None) -> Any:
        if client is None:
            keys, args = keys or (), args or ()
            began = time.monotonic()
            try:
                connection = self.registered_client._connection()  # type: ignore[union-attr] # it is the client above
                # For `execute_command`, redis-py would look at each argument for types that scripts are not given.
                connection.send_packed_command([pack_command(("EVALSHA", self.sha, len(keys), *keys, *args))])
                return connection.read_response()
            except NoScriptError:
                pass  # redis-py loads it
            except RedisError as error:
                _measure(error, began)
                raise
        return super().__call__(keys, args, client)


def _measure(error: RedisError, began: float) -> None:
    error.waited = time.monotonic() - began  # type: ignore[attr-defined] # ours


# Commands that may wait at the server.
_WAITING = frozenset({"BLMOVE", "XREAD"})


def _waits(command: Sequence[Any]) -> float:
    """Seconds that the server waits before it answers such a command with nothing."""
    if command[0] == "BLMOVE":
        return float(command[-1])
    return float(command[command.index(b"BLOCK") + 1]) / 1000 if b"BLOCK" in command else 0.0


def _is_stale(connection: AbstractConnection) -> bool:
    """Whether the server has closed the connection since its last command, or an answer is left that nobody read."""
    if connection._sock is None:  # not connected yet, or closed with the pool; redis-py has no public name for it
        return False
    try:
        return bool(connection.can_read()) or connection.should_reconnect()
    except (RedisError, OSError):
        return True


class _Place:
    """A thread's connection, which goes back to the pool when the thread has ended."""

    def __init__(self, pool: ConnectionPool) -> None:
        self.process = os.getpid()
        self._pool = pool
        self.connection: Any = pool.get_connection()

    def __del__(self) -> None:
        connection = getattr(self, "connection", None)  # None: the pool had no connection to give
        if connection is not None:
            self._pool.release(connection)

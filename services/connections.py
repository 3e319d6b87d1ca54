"""Connections to Redis or Valkey: one way for those who wait with a person, one for those who wait by themselves."""

from typing import Any, cast

from redis import Redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from services.store.port import Store

# A request that Redis does not answer in this time is told so; the caller decides whether to try again.
REQUEST_TIMEOUT = 2.0


def connect_for_requests(url: str) -> Redis:
    """For the API: no retries, since after a cut reply a retried command may run twice, and no long waits."""
    return Redis.from_url(
        url,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=REQUEST_TIMEOUT,
        socket_connect_timeout=REQUEST_TIMEOUT,
        socket_keepalive=True,
        health_check_interval=15,
    )


def connect_for_jobs(url: str) -> Redis:
    """For workers and tickers: outlives a restart of Redis by about a minute. Every script is safe to repeat."""
    return Redis.from_url(
        url,
        retry=Retry(ExponentialBackoff(cap=2, base=0.1), 40),
        socket_connect_timeout=REQUEST_TIMEOUT,
        socket_keepalive=True,
        health_check_interval=15,
    )


def answers(url: str, seconds: float = 0.5) -> bool:
    """Whether a Redis answers there now."""
    options: dict[str, Any] = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
    with Redis.from_url(url, retry=Retry(NoBackoff(), 0), **options) as redis:
        try:
            return bool(redis.ping())
        except RedisError:
            return False


def as_store(redis: Redis) -> Store:
    """The connection as the store port: the same object, with the types that replies have here."""
    return cast(Store, redis)

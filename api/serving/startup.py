"""What the node's servers check and prepare before they bind their ports."""

import resource

from services.connections.servers import connect_for_requests, require_usable
from services.settings.table import Settings

# How often a server is asked that does not answer within two seconds (REQUEST_TIMEOUT).
_TRIES = 5


def require_servers(settings: Settings) -> None:
    """Require that the store and the broker can be used.

    Raises:
        BadSettings: one cannot be used, and waiting would not help.
        StoreUnavailable: no Redis answers.
    """
    servers = {settings.redis_url: "QUARRY_REDIS_URL"}
    servers.setdefault(settings.broker_url, "QUARRY_BROKER_URL")
    for url, name in servers.items():
        with connect_for_requests(url) as redis:
            require_usable(redis, name, _TRIES)


def allow_files(wanted: int) -> None:
    """Raise the limit of open files, which counts sockets, towards `wanted`. Child processes inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))

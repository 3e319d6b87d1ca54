"""Who may use control methods: those that change the chain or the clock at will, or sign with a development account."""

from urllib.parse import urlsplit

from api.serving.hosts import is_loopback_name
from services.settings.table import Settings


def may_control(settings: Settings, origin: str | None) -> bool:
    """Whether a request may use control methods.

    Only on a development chain whose node binds to loopback, and not from a page of another machine: every page may
    call `/rpc`, and none may spend from unlocked accounts or rewrite the chain.

    Args:
        origin: the Origin header, which browsers send and cannot be told not to; None: there is none.
    """
    if not (settings.spec.development and settings.loopback):
        return False
    return origin is None or _is_of_this_machine(origin)


def _is_of_this_machine(origin: str) -> bool:
    try:
        name = urlsplit(origin).hostname
    except ValueError:
        return False
    return name is not None and is_loopback_name(name)

"""What every view starts from: the node behind the request, and who may do what."""

import hmac
import re
from dataclasses import dataclass
from typing import cast

from flask import current_app, request

from api.errors import Refusal
from services.node import Node

_LOOPBACK_HOSTS = frozenset({"localhost", "::1"})
# The whole address: 127.0.0.1.example.org is a name that anybody can point at us.
_LOOPBACK_ADDRESS = re.compile(r"127(\.[0-9]{1,3}){3}")

# What probes ask by an address, whatever names we have. The answers are the same for everybody, and hold nothing.
_PROBES = frozenset({"/healthz", "/readyz"})


@dataclass(frozen=True, slots=True)
class Doorkeeper:
    """Who may do what."""

    token: str | None  # the admin's; None: nobody is admin
    loopback: bool  # whether only this machine can reach us
    hosts: frozenset[str]  # Host headers besides the loopback names; empty: any, on a public bind
    own_host: str = ""  # what the server binds to, which is always answered for

    def is_admin(self) -> bool:
        """Whether the request carries the admin token: `Authorization: Bearer …`, or Basic with it as password."""
        given = request.authorization
        if self.token is None or given is None:
            return False
        secret = given.token if given.type == "bearer" else given.password
        return is_same_secret(secret, self.token)

    def require_admin(self) -> None:
        if not self.is_admin():
            raise Refusal(401, "admin_token_required", "This needs the admin token (Authorization: Bearer …).")

    def require_miner(self) -> None:
        """Mining is open to this machine, and to the admin from elsewhere. Not to web pages: `<img src=…/mine>`."""
        if request.headers.get("Sec-Fetch-Site") == "cross-site":
            raise Refusal(403, "cross_site", "A page of another site may not mine here.")
        if not self.loopback:
            self.require_admin()

    def check_host(self) -> None:
        """Refuse Host names that are not ours: a page that rebinds its own name to us must not reach the node."""
        if request.path in _PROBES:
            return
        name = request.host.rpartition(":")[0] if request.host.rpartition(":")[2].isdigit() else request.host
        name = name.strip("[]").lower()
        if not self.loopback and not self.hosts:
            return
        if name not in _LOOPBACK_HOSTS and not _LOOPBACK_ADDRESS.fullmatch(name) and name not in self._answered():
            raise Refusal(403, "host_refused", "The Host header names a host that this node does not answer for.")

    def _answered(self) -> frozenset[str]:
        return self.hosts | {self.own_host} if self.own_host else self.hosts


def is_same_secret(given: str | None, secret: str) -> bool:
    """Whether a secret is the right one, in a time that does not tell how much of it is. An empty one never is."""
    if not given or not secret.strip():
        return False
    return hmac.compare_digest(given.encode(errors="surrogatepass"), secret.encode())


def node() -> Node:
    """The node behind the current request."""
    return cast(Node, current_app.extensions["quarry"])


def doorkeeper() -> Doorkeeper:
    """Who may do what, for the current request."""
    return cast(Doorkeeper, current_app.extensions["quarry.doorkeeper"])

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


@dataclass(frozen=True, slots=True)
class Doorkeeper:
    """Who may do what."""

    token: str | None  # the admin's; None: nobody is admin
    loopback: bool  # whether only this machine can reach us
    hosts: frozenset[str]  # Host headers besides the loopback names; empty: any, on a public bind

    def is_admin(self) -> bool:
        """Whether the request carries the admin token: `Authorization: Bearer …`, or Basic with it as password."""
        given = request.authorization
        if self.token is None or given is None:
            return False
        secret = given.token if given.type == "bearer" else given.password
        return secret is not None and hmac.compare_digest(secret.encode(), self.token.encode())

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
        given = request.environ.get("HTTP_HOST", "")
        if not given or "," in given:  # the server joins repeated headers by commas, which no name contains
            raise Refusal(400, "bad_host", "The request must have exactly one Host header.")
        name = request.host.rpartition(":")[0] if request.host.rpartition(":")[2].isdigit() else request.host
        name = name.strip("[]").lower()
        if not self.loopback and not self.hosts:
            return
        if name not in _LOOPBACK_HOSTS and not _LOOPBACK_ADDRESS.fullmatch(name) and name not in self.hosts:
            raise Refusal(403, "host_refused", "The Host header names a host that this node does not answer for.")


def node() -> Node:
    """The node behind the current request."""
    return cast(Node, current_app.extensions["quarry"])


def doorkeeper() -> Doorkeeper:
    """Who may do what, for the current request."""
    return cast(Doorkeeper, current_app.extensions["quarry.doorkeeper"])

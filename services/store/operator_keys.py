"""The part of the Redis schema that operators write: names and tokens. `keys` says what holds for all keys."""


class OperatorKeys:
    """Names of one node's keys for what names.py and tokens.py store."""

    prefix: str

    def _key(self, name: str) -> str:
        return self.prefix + name

    # --- names of addresses: set_name.lua ---

    @property
    def names(self) -> str:
        """HASH address -> the name that the operator gave it: as it is compared, a line break, as it is shown."""
        return self._key("names")

    @property
    def name_owners(self) -> str:
        """HASH name as it is compared -> address."""
        return self._key("name-owners")

    @property
    def names_revision(self) -> str:
        """STRING random token, another after each change of the names: by it processes see what they keep is old."""
        return self._key("names-revision")

    # --- operators: services/store/tokens.py ---

    @property
    def tokens(self) -> str:
        """HASH SHA-256 of a named admin token's secret, in hex -> JSON {name, scopes, created_at}."""
        return self._key("tokens")

    @property
    def token_names(self) -> str:
        """HASH name as it is compared -> SHA-256 of the secret."""
        return self._key("token-names")

    @property
    def acts(self) -> str:
        """STREAM of {act: JSON {at, who, what, where, status}}: the audit log. Capped."""
        return self._key("acts")

    @property
    def refused_acts(self) -> str:
        """STREAM as `acts`, of what was refused. Capped."""
        return self._key("refused-acts")

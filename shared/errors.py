"""Every way in which a node says no. The docstrings are what an operator reads."""


class NodeError(Exception):
    """Anything that Quarry itself refuses or reports, as opposed to a bug."""


class RuleError(NodeError):
    """A block or transaction broke a consensus rule. Never retried: it stays invalid.

    Args:
        rule: stable snake_case name of the broken rule; programs match on it.
        message: one sentence for people. Never echoes the input.
        field: the JSON field at fault, where there is one.
    """

    def __init__(self, rule: str, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message
        self.field = field


class InputError(RuleError):
    """A request is not even well-formed: bad JSON, a wrong type, an impossible number."""


class ShapeError(InputError):
    """A request is well-formed but has unknown fields, or lacks some."""


class TooEarly(NodeError):
    """A block's timestamp lies too far in the future. Retry later; never remember it as invalid."""

"""Every way in which a node says no. The docstrings are what an operator reads."""


class NodeError(Exception):
    """Anything that Quarry itself refuses or reports, as opposed to a bug."""


class CodedError(NodeError):
    """A refusal with a name that programs match on.

    Args:
        code: stable snake_case name.
        message: one sentence for people. Never echoes the input.
        field: the JSON field at fault, where there is one.
    """

    def __init__(self, code: str, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field


class RuleError(CodedError):
    """A block or transaction broke a consensus rule, which `code` names. Never retried: it stays invalid."""


class InputError(RuleError):
    """A request is not even well-formed: bad JSON, a wrong type, an impossible number."""


class ShapeError(InputError):
    """A request is well-formed but has unknown fields, or lacks some."""


class TooEarly(NodeError):
    """A block's timestamp lies too far in the future. Retry later; never remember it as invalid."""

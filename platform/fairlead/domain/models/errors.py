"""Why a model's request or answer cannot be read, written or used."""

from fairlead.domain.errors import Invalid, Problem


class Unreadable(Invalid):
    """What came is not what this wire's documents say."""

    code = "model_wire_unreadable"

    def __init__(self, path: str, message: str) -> None:
        super().__init__([Problem(path=path, message=message)], f"{path or 'the document'}: {message}")


class Untranslatable(Invalid):
    """What is asked has no form on this wire, and leaving it out would change what is asked."""

    code = "model_wire_untranslatable"

    def __init__(self, path: str, message: str) -> None:
        super().__init__([Problem(path=path, message=message)], f"{path or 'the document'}: {message}")


class CutOff(Exception):
    """A streamed answer ended before its provider's last word: it is no answer."""

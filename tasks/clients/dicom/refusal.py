"""Inside a parser process: why a file is not taken. It crosses to the parent as its rule and message."""


class RefusalError(Exception):
    """The file is not taken; `rule` names why. The message names fields and rules, never a value of the file."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule

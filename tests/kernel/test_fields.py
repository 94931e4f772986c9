"""Texts of several lines are as long as people count them: a line end is one character, however a browser sends it."""

import pytest
from pydantic import TypeAdapter, ValidationError

from models.kernel.fields import Text

pytestmark = pytest.mark.unit


def test_a_line_end_counts_once() -> None:
    read = TypeAdapter(Text).validate_python
    full = "a\r\n" * 999 + "ab"
    assert read(full) == "a\n" * 999 + "ab"
    with pytest.raises(ValidationError, match="at most 2000"):
        read(full + "c")
    with pytest.raises(ValidationError, match="not allowed"):
        read("a\rb")
    for wrong in (None, 7, ["a"]):
        with pytest.raises(ValidationError):
            read(wrong)

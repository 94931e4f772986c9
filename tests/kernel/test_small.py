"""Clock, money and logs."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from models.kernel.clock import as_utc, utc_now
from models.kernel.errors import InvalidError
from models.kernel.logs import configure_logs, scrub
from models.kernel.money import Money

pytestmark = pytest.mark.unit


def test_the_clock_is_aware_utc() -> None:
    assert utc_now().tzinfo is UTC
    lagos = datetime(2026, 11, 20, 9, 0, tzinfo=timezone(timedelta(hours=1)))
    assert as_utc(lagos) == datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
    with pytest.raises(ValueError, match="offset or a zone"):
        as_utc(lagos.replace(tzinfo=None))


class TestMoney:
    @pytest.mark.parametrize(
        ("text", "currency", "minor"),
        [("12.50", "NGN", 1250), ("7", "EUR", 700), ("300", "JPY", 300), ("1.234", "KWD", 1234), ("-0.01", "USD", -1)],
    )
    def test_amounts_are_whole_minor_units(self, text: str, currency: str, minor: int) -> None:
        assert Money.parse(text, currency) == Money(minor, currency)

    @pytest.mark.parametrize(
        ("text", "currency"), [("12.505", "NGN"), ("1.5", "JPY"), ("x", "EUR"), ("NaN", "EUR"), ("inf", "EUR")]
    )
    def test_what_is_no_amount_is_refused(self, text: str, currency: str) -> None:
        with pytest.raises(InvalidError):
            Money.parse(text, currency)

    @given(minor=st.integers(-(10**15), 10**15), currency=st.sampled_from(["NGN", "JPY", "KWD", "CLF"]))
    def test_text_comes_back_as_the_same_amount(self, minor: int, currency: str) -> None:
        money = Money(minor, currency)
        assert Money.parse(str(money).split()[0], currency) == money

    def test_no_floats_and_no_mixing(self) -> None:
        with pytest.raises(TypeError, match="whole minor units"):
            Money(12.5, "NGN")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="two currencies"):
            Money(1, "NGN") + Money(1, "EUR")
        assert (Money(1, "NGN") + Money(2, "NGN")).amount == Decimal("0.03")


class TestLogs:
    @pytest.fixture
    def lines(self) -> Iterator[io.StringIO]:
        handlers, level = logging.root.handlers[:], logging.root.level
        stream = io.StringIO()
        configure_logs(stream)
        yield stream
        logging.root.handlers[:], logging.root.level = handlers, level
        structlog.reset_defaults()

    def test_one_json_object_a_line_from_both_kinds_of_logger(self, lines: io.StringIO) -> None:
        structlog.get_logger("ours").info("sent", delivery=12)
        logging.getLogger("theirs").warning("took %s s", 3)
        ours, theirs = (json.loads(line) for line in lines.getvalue().splitlines())
        assert (ours["event"], ours["delivery"], ours["level"], ours["logger"]) == ("sent", 12, "info", "ours")
        assert (theirs["event"], theirs["level"]) == ("took 3 s", "warning")
        assert ours["timestamp"].endswith("Z")

    def test_nothing_that_looks_like_a_secret_is_written(self, lines: io.StringIO) -> None:
        token = "lw_api_abcdefghijklmnop1234"
        log = structlog.get_logger("ours")
        log.info(f"GET /reset/{token}", authorization="Basic eDp5", nested={"api_key": "k1", "list": [token]})
        logging.getLogger("theirs").error("cannot connect to %s", "postgresql://app:hunter2@db/labwire")
        try:
            raise RuntimeError(f"Bearer {token}")
        except RuntimeError:
            log.exception("failed")
        written = lines.getvalue()
        for secret in (token, "eDp5", "k1", "hunter2"):
            assert secret not in written
        assert "RuntimeError" in written

    def test_ordinary_text_stays(self) -> None:
        text = "assignment 12 moved from P to Q at http://127.0.0.1:8000/worklist?page=2"
        assert scrub(text) == text

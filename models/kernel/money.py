"""Money: whole minor units and an ISO 4217 currency, never a float."""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from models.kernel.errors import InvalidError

# ISO 4217 (List One, 2026): currencies whose minor unit is not the hundredth.
DIGITS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI"), 0),
    **dict.fromkeys(("VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
_CODE = re.compile("[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class Money:
    """An amount such as 1250 minor units of NGN, which is 12.50; currencies are never mixed."""

    minor_units: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.minor_units) is not int:
            raise TypeError("money is counted in whole minor units")
        if _CODE.fullmatch(self.currency) is None:
            raise InvalidError("a currency is three capital letters of ISO 4217", field="currency")

    @classmethod
    def parse(cls, amount: str, currency: str) -> "Money":
        """`12.50` as it is written; InvalidError when it has more decimals than the currency, or is no number."""
        try:
            minor = Decimal(amount).scaleb(DIGITS.get(currency, 2))
            if minor != minor.to_integral_value():
                raise InvalidError("has more decimals than its currency", field="amount")
            return cls(int(minor), currency)
        except (InvalidOperation, ValueError, OverflowError):
            raise InvalidError("is not an amount", field="amount") from None

    @property
    def amount(self) -> Decimal:
        """The amount in the currency's main unit, with its decimals."""
        return Decimal(self.minor_units).scaleb(-DIGITS.get(self.currency, 2))

    def __add__(self, other: "Money") -> "Money":
        if other.currency != self.currency:
            raise ValueError("amounts of two currencies cannot be added")
        return Money(self.minor_units + other.minor_units, self.currency)

    def __str__(self) -> str:
        return f"{self.amount:f} {self.currency}"

"""The tests the simulated analyser knows, and the values it measures."""

from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256

HALF = 2**32


@dataclass(frozen=True, slots=True)
class CatalogueTest:
    """A test on board: values between `low` and `high` are normal, between `lowest` and `highest` still believable."""

    code: str
    name: str
    loinc: str  # empty where no code says it
    unit: str  # UCUM
    specimen: str
    decimals: int
    low: Decimal
    high: Decimal
    lowest: Decimal
    highest: Decimal


def _test(code: str, name: str, loinc: str, unit: str, specimen: str, spans: str) -> CatalogueTest:
    """`spans` is 'lowest low high highest'; the finest of the four gives the number of decimals."""
    lowest, low, high, highest = (Decimal(part) for part in spans.split())
    decimals = max(len(part.partition(".")[2]) for part in spans.split())
    return CatalogueTest(code, name, loinc, unit, specimen, decimals, low, high, lowest, highest)


# Codes: the LOINC table (loinc.org). A CBC has no single value, hence no code. Normal spans: adults of both sexes
# together. HGB, PLT, CREA, ALT, NA, K, TSH: Mayo Clinic Laboratories, Test Catalog. WBC, GLU (not fasting) and TNTHS
# (women's 99th percentile): University of Iowa Health Care, Laboratory Services Handbook, tests 1977, 883 and 3665;
# below 6 ng/L the troponin assay does not report. RBC, HCT: Merck Manual, Complete Blood Count. The outer bounds are
# what a general laboratory may see in a month, not limits of the method. LAB-CBC is the interface document's example
# and always answers its value.
CATALOGUE: dict[str, CatalogueTest] = {
    test.code: test
    for test in (
        _test("LAB-CBC", "CBC", "", "g/dL", "Blood", "12.5 12.5 12.5 12.5"),
        _test("LAB-HGB", "Haemoglobin", "718-7", "g/dL", "Blood", "6.2 11.6 16.6 20.1"),
        _test("LAB-WBC", "Leucocytes", "6690-2", "10*3/uL", "Blood", "1.4 3.7 10.5 42.0"),
        _test("LAB-PLT", "Platelets", "777-3", "10*3/uL", "Blood", "22 135 371 890"),
        _test("LAB-RBC", "Erythrocytes", "789-8", "10*6/uL", "Blood", "2.10 4.00 5.90 7.40"),
        _test("LAB-HCT", "Haematocrit", "4544-3", "%", "Blood", "19.0 36.0 51.0 61.0"),
        _test("LAB-GLU", "Glucose", "2345-7", "mg/dL", "Serum", "38 65 139 510"),
        _test("LAB-CREA", "Creatinine", "2160-0", "mg/dL", "Serum", "0.30 0.59 1.35 8.60"),
        _test("LAB-ALT", "Alanine aminotransferase", "1742-6", "U/L", "Serum", "7 7 55 720"),
        _test("LAB-NA", "Sodium", "2951-2", "mmol/L", "Serum", "117 135 145 161"),
        _test("LAB-K", "Potassium", "2823-3", "mmol/L", "Serum", "2.4 3.6 5.2 6.9"),
        _test("LAB-TSH", "Thyrotropin", "3016-3", "m[IU]/L", "Serum", "0.02 0.30 4.20 48.00"),
        _test("LAB-TNTHS", "Troponin T, high sensitivity", "67151-1", "ng/L", "Plasma", "6 6 14 640"),
    )
}


def measure(test: CatalogueTest, sample_id: str, request_id: str) -> str:
    """The value as the analyser prints it: the same for the same order, about 85 in 100 within the normal span."""
    drawn = sha256(f"{test.code}|{sample_id}|{request_id}".encode()).digest()
    percent = int.from_bytes(drawn[:4]) % 100
    first, second = int.from_bytes(drawn[4:8]), int.from_bytes(drawn[8:12])
    if percent < 85:  # two draws averaged: the middle of the span is likelier than its ends
        return _between(test.low, test.high, first + second, test.decimals)
    # Far from the span grows rarer: the smaller of two draws is the distance.
    distance = 2 * min(first, second)
    if percent < 92 and test.lowest < test.low:
        return _between(test.low, test.lowest, distance, test.decimals)
    return _between(test.high, test.highest, distance, test.decimals)


def _between(start: Decimal, end: Decimal, part: int, decimals: int) -> str:
    value = start + (end - start) * part / (2 * HALF)
    return str(value.quantize(Decimal(1).scaleb(-decimals)))

"""A chest as a CT would show it, so that windows have different things to show."""

from typing import Any

import numpy as np

from tests.imaging.dicoms import ct


def chest(number: int, of: int = 20, *, size: int = 256, **more: Any) -> bytes:
    """One slice: skin and fat, muscle, lungs, a spine and a ring of ribs, in Hounsfield units."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    z = (number - 1) / max(1, of - 1)
    units = np.full((size, size), -1000.0)

    def ellipse(cx: float, cy: float, rx: float, ry: float) -> np.ndarray[Any, Any]:
        inside: np.ndarray[Any, Any] = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1
        return inside

    units[ellipse(0, 0, 0.92, 0.68)] = -90
    units[ellipse(0, 0, 0.84, 0.6)] = 50
    grown = 0.55 + 0.45 * np.sin(np.pi * (0.15 + 0.7 * z))
    for side in (-1, 1):
        units[ellipse(side * 0.4, -0.03, 0.31 * grown, 0.44 * grown)] = -820
        for step in range(5):
            units[ellipse(side * (0.28 + 0.07 * step), 0.05 * np.sin(5 * step + 6 * z), 0.018, 0.018)] = 30
    units[ellipse(-0.08, -0.12, 0.22 * grown, 0.25 * grown)] = 45
    units[ellipse(0, 0.42, 0.11, 0.1)] = 450
    units[ellipse(0, 0.42, 0.04, 0.035)] = 40
    angles = np.linspace(0, 2 * np.pi, 14, endpoint=False) + z
    for angle in angles:
        units[ellipse(0.78 * np.cos(angle), 0.54 * np.sin(angle), 0.055, 0.03)] = 700
    units += np.random.default_rng(number).normal(0, 12, units.shape)
    stored = (units + 1024).clip(0, 4095).astype("<i2")
    image: dict[str, Any] = {"PixelData": stored.tobytes(), "PixelRepresentation": 0, "BitsStored": 12, "HighBit": 11}
    return ct(number, size=size, **(image | more))

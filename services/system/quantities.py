"""Quantities as people read them, the same on pages and in the terminal: three digits and a unit."""

Units = tuple[tuple[str, float], ...]  # with their factors, the largest first

_HASHES: Units = (("T", 1e12), ("G", 1e9), ("M", 1e6))
_RATES: Units = (("TH/s", 1e12), ("GH/s", 1e9), ("MH/s", 1e6), ("kH/s", 1e3))


def scaled(value: float, units: Units, unit: str) -> str:
    """A value with three digits in the largest of the units that it reaches, or as it is in `unit`."""
    for name, factor in units:
        if value >= factor:
            # Beyond 999.5, three digits would be written as 1e+03.
            return f"{value / factor:.3g} {name}" if value < 999.5 * factor else f"{value / factor:,.0f} {name}"
    return f"{value:,.0f} {unit}".rstrip()


def hashes_text(value: float) -> str:
    """A number of hashes, or a difficulty, such as 1.5 M."""
    return scaled(value, _HASHES, "")


def rate_text(value: float) -> str:
    """Hashes per second, such as 1.5 MH/s."""
    return scaled(value, _RATES, "H/s")


def time_left(seconds: float) -> str:
    """An expected time in words, with two or three digits: "0.4 s", "74 s", "12 min", "5 h", "3 d"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    for most, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < most:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:,.0f} d"

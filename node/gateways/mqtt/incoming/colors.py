"""Colours as lamps tell them, and as we do: RRGGBB. What a lamp mixes is near what it was asked for."""

import colorsys
from typing import Any

TOLERANCE = 40  # of 255: a lamp's own primaries are not those of a screen


def told(mode: str, color: Any) -> str:
    """RRGGBB of what a lamp says in that mode (rgb, hs or xy). Raises ValueError."""
    try:
        if mode == "rgb":
            return _hex(*(float(color[part]) / 255 for part in "rgb"))
        if mode == "hs":
            return _hex(*colorsys.hsv_to_rgb(float(color["h"]) / 360, float(color["s"]) / 100, 1))
        return _hex(*_from_xy(float(color["x"]), float(color["y"])))
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"no colour: {error}") from None


def asked(mode: str, text: str) -> dict[str, float]:
    """What a lamp is told, of RRGGBB."""
    red, green, blue = channels(text)
    if mode == "rgb":
        return {"r": red, "g": green, "b": blue}
    if mode == "hs":
        hue, saturation, _ = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
        return {"h": round(hue * 360), "s": round(saturation * 100)}
    return _to_xy(red / 255, green / 255, blue / 255)


def channels(text: str) -> tuple[int, int, int]:
    return int(text[0:2], 16), int(text[2:4], 16), int(text[4:6], 16)


def alike(one: str, other: str) -> bool:
    """Whether these are the same colour, however bright."""
    return all(abs(a - b) <= TOLERANCE for a, b in zip(_full(one), _full(other), strict=True))


def _full(text: str) -> list[float]:
    parts = channels(text)
    return [part * 255 / (max(parts) or 1) for part in parts]


def _hex(*parts: float) -> str:
    if not all(-0.01 <= part <= 1.01 for part in parts):
        raise ValueError("a colour out of bounds")
    return "".join(f"{min(255, max(0, round(part * 255))):02X}" for part in parts)


# sRGB (IEC 61966-2-1) and CIE 1931, which lamps speak


def _to_xy(*parts: float) -> dict[str, float]:
    red, green, blue = (((part + 0.055) / 1.055) ** 2.4 if part > 0.04045 else part / 12.92 for part in parts)
    x = 0.4124 * red + 0.3576 * green + 0.1805 * blue
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    total = x + y + 0.0193 * red + 0.1192 * green + 0.9505 * blue
    return {"x": round(x / total, 4), "y": round(y / total, 4)} if total else {"x": 0.3127, "y": 0.329}


def _from_xy(x: float, y: float) -> list[float]:
    if not (0 <= x <= 1 and 0 < y <= 1):
        raise ValueError("a colour out of bounds")
    wide, deep = x / y, (1 - x - y) / y
    linear = (
        3.2406 * wide - 1.5372 - 0.4986 * deep,
        -0.9689 * wide + 1.8758 + 0.0415 * deep,
        0.0557 * wide - 0.2040 + 1.0570 * deep,
    )
    most = max(*linear, 1e-9)
    parts = (max(0.0, part / most) for part in linear)
    return [1.055 * part ** (1 / 2.4) - 0.055 if part > 0.0031308 else 12.92 * part for part in parts]

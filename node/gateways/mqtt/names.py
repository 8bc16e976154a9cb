"""A name as one level of a topic, and as a part of Home Assistant's ids: letters, digits, - and _ only."""

import re
from hashlib import sha256


def level(name: str) -> str:
    """What has to be replaced is marked, so that no two names become the same."""
    text = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    return text if text == name else f"{text}-{sha256(name.encode()).hexdigest()[:6]}"

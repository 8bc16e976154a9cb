"""XEP-0439: Quick Response: what one may answer with a touch, where a client shows such buttons."""

from node.base.element import E, Element

NS = "urn:xmpp:tmp:quick-response"


def responses(*options: tuple[str, str]) -> tuple[Element, ...]:
    """The elements for options as (what is said, label); of those that say or show the same only the first.

    The body of the message has to list them too (§Business Rules); neither has a language of its own.
    """
    offered: dict[str, str] = {}
    for value, label in options:
        if value not in offered and label not in offered.values():
            offered[value] = label
    return tuple(E("response", NS, value=value, label=label) for value, label in offered.items())

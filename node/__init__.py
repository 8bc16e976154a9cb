"""A home messaging node: boards and people are contacts, over XMPP."""

__version__ = "0.1.0"

"""A second parser, which shares nothing with the node's: XML 1.0 (fifth edition) with namespaces, as strict as can be.

It knows what a stream of XMPP may hold and no more: no declarations, comments, processing instructions, entities.
A tree is what ElementTree would make of it: (name, attributes, text, [(tree, tail), ...]), names as {namespace}name.
"""

import re
from collections.abc import Iterator

from node.base.element import XML

Tree = tuple[str, dict[str, str], str, list[tuple["Tree", str]]]

_START = (
    "A-Z_a-z\xc0-\xd6\xd8-\xf6\xf8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c-\u200d\u2070-\u218f\u2c00-\u2fef"
    "\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd\U00010000-\U000effff"
)
_NAME = f"[{_START}][{_START}\\-.0-9\xb7\u0300-\u036f\u203f-\u2040]*"
_QNAME = f"(?:{_NAME}:)?{_NAME}"
_SPACE = "[ \t\n]"
_QUOTED = "(?:\"[^<\"]*\"|'[^<']*')"
_ATTRIBUTE = re.compile(f"{_SPACE}+({_QNAME}){_SPACE}*={_SPACE}*({_QUOTED})")
_TAG = re.compile(f"<({_QNAME})((?:{_SPACE}+{_QNAME}{_SPACE}*={_SPACE}*{_QUOTED})*){_SPACE}*(/?)>")
_END = re.compile(f"</({_QNAME}){_SPACE}*>")
_REFERENCE = re.compile("&(?:#([0-9]+)|#x([0-9A-Fa-f]+)|(amp|lt|gt|apos|quot));")
_CHARACTERS = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "apos": "'", "quot": '"'}
_XMLNS = "http://www.w3.org/2000/xmlns/"


class NotWellFormed(ValueError):
    """With what was found there."""


def tree(text: str) -> Tree:
    """The one element that this text is. Raises NotWellFormed."""
    found = list(elements(text, 0))
    if len(found) != 1 or not text.startswith("<") or not text.endswith(">"):
        raise NotWellFormed("one element and nothing else")
    return found[0]


def elements(text: str, depth: int) -> Iterator[Tree]:
    """The elements at that depth (0: the root), each when its end has been read. Raises NotWellFormed."""
    # Of each open element: its qualified name, its namespaces, and [name, attributes, [text, child, text, ...]].
    levels: list[tuple[str, dict[str, str], list]] = [("", {"xml": XML, "": ""}, ["", {}, [""]])]
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    at = 0
    while at < len(text):
        ended = None
        if text[at] != "<":
            end = text.find("<", at)
            end = len(text) if end < 0 else end
            part = text[at:end]
            if "]]>" in part:
                raise NotWellFormed("']]>' in a text")
            levels[-1][2][2][-1] += _resolved(part)
        elif text.startswith("<![CDATA[", at):
            end = text.find("]]>", at) + 3
            if end < 3:
                raise NotWellFormed("a CDATA section without an end")
            levels[-1][2][2][-1] += text[at + 9 : end - 3]
        elif found := _END.match(text, at):
            qualified, _, ended = levels.pop()
            if qualified != found[1] or not levels:
                raise NotWellFormed(f"{found[0]!r} ends nothing")
            end = found.end()
        elif found := _TAG.match(text, at):
            level = _opened(found[1], found[2], levels[-1][1])
            if found[3]:
                ended = level[2]
            else:
                levels.append(level)
            end = found.end()
        else:
            raise NotWellFormed(f"{text[at : at + 40]!r} is no tag")
        if not _CHARACTERS.fullmatch(text, at, end):
            raise NotWellFormed("a character that no XML may hold")
        if ended:
            levels[-1][2][2] += [_done(ended), ""]
            if len(levels) == depth + 1:
                yield levels[-1][2][2][-2]
        at = end
    if len(levels) != 1:
        raise NotWellFormed(f"<{levels[-1][0]}> does not end")


def _opened(qualified: str, attributes: str, scope: dict[str, str]) -> tuple[str, dict[str, str], list]:
    given: dict[str, str] = {}
    for name, quoted in _ATTRIBUTE.findall(attributes):
        if name in given:
            raise NotWellFormed(f"{name} twice")
        given[name] = _resolved(quoted[1:-1].replace("\t", " ").replace("\n", " "))
    declared = {name: uri for name, uri in given.items() if name == "xmlns" or name.startswith("xmlns:")}
    if declared:
        scope = dict(scope)
    for name, uri in declared.items():
        prefix = name[6:]
        if prefix == "xmlns" or uri == _XMLNS or (prefix == "xml") != (uri == XML) or (prefix and not uri):
            raise NotWellFormed(f"{name}={uri!r} is forbidden")
        scope[prefix] = uri
    attrs: dict[str, str] = {}
    for name, value in given.items():
        if name in declared:
            continue
        full = _expanded(name, scope) if ":" in name else name
        if full in attrs:
            raise NotWellFormed(f"{full} twice")
        attrs[full] = value
    return qualified, scope, [_expanded(qualified, scope), attrs, [""]]


def _expanded(qualified: str, scope: dict[str, str]) -> str:
    prefix, _, name = qualified.rpartition(":")
    if prefix not in scope:
        raise NotWellFormed(f"the prefix {prefix!r} stands for nothing")
    return f"{{{scope[prefix]}}}{name}" if scope[prefix] else name


def _resolved(text: str) -> str:
    if "&" not in text:
        return text
    if "&" in _REFERENCE.sub("", text):
        raise NotWellFormed(f"a reference to nothing in {text[:60]!r}")
    return _REFERENCE.sub(_character, text)


def _character(reference: re.Match) -> str:
    decimal, hexadecimal, name = reference.groups()
    if name:
        return _ENTITIES[name]
    number = int(decimal) if decimal else int(hexadecimal, 16)
    if number > 0x10FFFF or not number or not _CHARACTERS.fullmatch(chr(number)):
        raise NotWellFormed(f"{reference[0]} is no character of XML")
    return chr(number)


def _done(element: list) -> Tree:
    name, attrs, (text, *rest) = element
    return name, attrs, text, list(zip(rest[::2], rest[1::2], strict=True))

"""matplotlib's SVG -> small, safe SVG: for a file of its own, or inlined in the page in the page's colours.

Only drawing elements and attributes on short lists stay; style attributes become presentation attributes, so the
page's content security policy can forbid inline style.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from derta.reporting.figures.palette import themed

SVG = "http://www.w3.org/2000/svg"
_HREF = "{http://www.w3.org/1999/xlink}href"
_ELEMENTS = frozenset({"svg", "g", "path", "use", "text", "tspan", "rect", "defs", "clipPath", "pattern"})
_ATTRIBUTES = frozenset(
    {"d", "x", "y", "width", "height", "viewBox", "transform", "clip-path", "patternUnits", "fill", "stroke"}
    | {"fill-opacity", "stroke-opacity", "opacity", "stroke-width", "stroke-dasharray", "stroke-dashoffset"}
    | {"stroke-linecap", "stroke-linejoin", "font-size", "font-weight", "font-style", "text-anchor"}
)
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def clean_svg(source: str, name: str, title: str, description: str) -> str:
    """A standalone SVG with a title and a description for assistive software.

    name: prefix of every id, so that several figures can share one page.
    """
    ElementTree.register_namespace("", SVG)
    root = ElementTree.fromstring(source)
    used = {
        match for element in root.iter() for value in element.attrib.values() for match in _references(value)
    }
    _clean(root, name, used)
    root.attrib.pop("width", None)
    root.attrib.pop("height", None)
    root.attrib.update({"role": "img", "aria-labelledby": f"{name}-title {name}-desc"})
    root.attrib.update({"font-family": _FONT, "stroke-linejoin": "round"})
    for index, (tag, text) in enumerate((("title", title), ("desc", description))):
        child = ElementTree.Element(f"{{{SVG}}}{tag}", {"id": f"{name}-{tag}"})
        child.text = text
        root.insert(index, child)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def inline_svg(clean: str) -> str:
    """The cleaned SVG for the page: colours become CSS variables that follow light and dark."""
    root = ElementTree.fromstring(clean)
    for element in root.iter():
        element.tag = _local(element.tag)  # HTML knows SVG without its namespace
        for attribute in ("fill", "stroke"):
            variable = themed(element.get(attribute, ""))
            if variable:
                element.set(attribute, variable)
    return ElementTree.tostring(root, encoding="unicode")


def _clean(element: ElementTree.Element, name: str, used: set[str]) -> None:
    for child in list(element):
        if _local(child.tag) not in _ELEMENTS:
            element.remove(child)
        else:
            _clean(child, name, used)
    attributes = dict(element.attrib)
    element.attrib.clear()
    for declaration in attributes.pop("style", "").split(";"):
        key, _, value = declaration.partition(":")
        attributes[key.strip()] = value.strip()
    for key, value in attributes.items():
        if key in _ATTRIBUTES and not value.startswith("rotate(-0 "):
            element.set(key, _rounded(re.sub(r"url\(#", f"url(#{name}-", value)))
    if attributes.get("id") in used:
        element.set("id", f"{name}-{attributes['id']}")
    if _HREF in attributes:
        element.set("href", f"#{name}-{attributes[_HREF].removeprefix('#')}")
    if _local(element.tag) != "text":  # layout white space; the text's own is content
        element.text = element.text if (element.text or "").strip() else None
    element.tail = None if not (element.tail or "").strip() else element.tail


def _references(value: str) -> list[str]:
    return re.findall(r"url\(#([^)]+)\)", value) + re.findall(r"^#(.+)$", value)


def _rounded(value: str) -> str:
    """Two decimals are finer than any screen and a third of the size."""
    shorter = re.sub(r"-?\d+\.\d{3,}", lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), value)
    return re.sub(r"\s+", " ", shorter).strip()


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]

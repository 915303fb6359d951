"""Attack texts, read at run time from files that the user names; none are shipped with the attacks.

jailbreak templates   JSON list of strings, or of {"id", "text"}; each holds the placeholder once
selfcipher            JSON {"role", "demonstrations": [{"query", "response", "category"?}], "closing"?}
openings              JSON lines {"id", "opening"} (ids of queries)
affirmatives          JSON lines {"id", "affirmative"} (ids of queries)
PAIR's instructions   as templates, with [QUERY] (once) and [AFFIRMATIVE] in them
AutoDAN's prototypes  as jailbreak templates
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from derta.errors import DataError
from derta.files import read_small

PLACEHOLDER = "[INSERT PROMPT HERE]"  # where a template takes the query, as in the published template sets


@dataclass(frozen=True)
class Template:
    """A jailbreak template; its id is recorded with every response."""

    id: str
    text: str


@dataclass(frozen=True)
class Demonstration:
    """One exchange that shows the SelfCipher role at work."""

    query: str
    response: str
    category: str | None = None


@dataclass(frozen=True)
class CipherTexts:
    """What SelfCipher needs; closing is the steering sentence of CipherChat's original form."""

    role: str
    demonstrations: tuple[Demonstration, ...]
    closing: str = ""


def load_templates(path: Path, placeholder: str = PLACEHOLDER) -> list[Template]:
    """Jailbreak templates in the file's order; the id defaults to the place in the list.

    Raises:
        DataError: not such a list, two equal ids, or a template without exactly one placeholder.
    """
    value = _read_json(path)
    if not isinstance(value, list) or not value:
        raise DataError(f"{path}: need a JSON list of templates, found {type(value).__name__}")
    templates = [_template(path, index, entry) for index, entry in enumerate(value)]
    for index, template in enumerate(templates):
        count = template.text.count(placeholder)
        if count != 1:
            raise DataError(
                f"{path}: template {template.id!r} (entry {index + 1}): holds {placeholder!r} {count} times, need "
                "once; mend it, or set the attack's `placeholder`"
            )
    if len({template.id for template in templates}) != len(templates):
        raise DataError(f"{path}: two templates have the same id; ids must be unique")
    return templates


def load_cipher(path: Path) -> CipherTexts:
    """SelfCipher's role text and demonstrations.

    Raises:
        DataError: a field is missing or has the wrong type.
    """
    value = _read_json(path)
    if not isinstance(value, dict):
        raise DataError(f"{path}: need a JSON object with `role` and `demonstrations`")
    demonstrations = value.get("demonstrations")
    if not isinstance(demonstrations, list) or not demonstrations:
        raise DataError(
            f"{path}: `demonstrations`: need a list of {{query, response}}, found {demonstrations!r}"
        )
    shown = []
    for index, entry in enumerate(demonstrations, start=1):
        where = f"{path}: demonstration {index}"
        category = entry.get("category") if isinstance(entry, dict) else None
        shown.append(Demonstration(_text(where, entry, "query"), _text(where, entry, "response"), category))
    closing = _text(str(path), value, "closing") if "closing" in value else ""
    return CipherTexts(_text(str(path), value, "role"), tuple(shown), closing)


def load_openings(path: Path) -> dict[str, str]:
    """CompletingAttack's openings by query id.

    Raises:
        DataError: a line is not {"id", "opening"}, or an id comes twice.
    """
    return _load_by_id(path, "opening")


def load_affirmatives(path: Path) -> dict[str, str]:
    """How an answer that is no refusal begins, by query id, for PAIR and AutoDAN.

    Raises:
        DataError: a line is not {"id", "affirmative"}, or an id comes twice.
    """
    return _load_by_id(path, "affirmative")


def _load_by_id(path: Path, name: str) -> dict[str, str]:
    texts: dict[str, str] = {}
    for number, line in enumerate(read_small(path).splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{where}: invalid JSON at column {error.colno}: {error.msg}") from None
        except (ValueError, RecursionError) as error:  # a number of thousands of digits; nested without end
            raise DataError(f"{where}: not JSON: {error}") from None
        query_id = _text(where, value, "id")
        if query_id in texts:
            raise DataError(f"{where}: duplicate id {query_id!r}; ids must be unique")
        texts[query_id] = _text(where, value, name)
    return texts


def _template(path: Path, index: int, entry: Any) -> Template:
    if isinstance(entry, str):
        return Template(str(index), entry)
    where = f"{path}: entry {index + 1}"
    return Template(_text(where, entry, "id"), _text(where, entry, "text"))


def _text(where: str, value: Any, name: str) -> str:
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, str) or not found.strip():
        raise DataError(f"{where}: `{name}`: need a text, found {found!r}")
    return found


def _read_json(path: Path) -> Any:
    try:
        return json.loads(read_small(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: invalid JSON at column {error.colno}: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; nested without end
        raise DataError(f"{path}: not JSON: {error}") from None

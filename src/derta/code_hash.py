"""Did the code change that decides a number? One answer for runs, verdicts, builds and caches.

A source file is hashed as what Python understands of it: comments, docstrings, layout, imports for type checkers,
the texts of errors and what is printed are left out, so that none of them stops a resume. The files are found by
following the imports from the modules that are named, those inside functions too.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path

import derta
from derta.files import sha256_text

PACKAGE = Path(derta.__file__).parent
# They decide no number: how files are written, what is said, shown or refused. Settings are compared as values.
NEVER = (
    "derta.config",
    "derta.encode.settings",
    "derta.methods.choice",
    "derta.training.recipe",
    "derta.errors",
    "derta.files",
    "derta.code_hash",
    "derta.keyed_log",
    "derta.model_files",
    "derta.progress",
    "derta.provenance",
    "derta.run_folder",
    "derta.secrecy",
)
LENGTH = 16  # hexadecimal digits, of 64


def code_files(
    *entries: str, within: Collection[str] = ("derta",), without: Collection[str] = ()
) -> dict[str, str]:
    """The hash of each source file (by its path in the package) behind some modules, themselves included.

    within, without: packages or modules that are, or are not, followed.
    """
    found: dict[str, str] = {}
    left = [*entries]
    while left:
        module = left.pop()
        path = _path(module)
        if path is None or not _below(module, within) or _below(module, [*NEVER, *without]):
            continue
        name = str(path.relative_to(PACKAGE))
        if name not in found:
            found[name], imported = _read(path.read_text(encoding="utf-8"))
            left += imported
    return dict(sorted(found.items()))


def code_hash(*entries: str, within: Collection[str] = ("derta",), without: Collection[str] = ()) -> str:
    """One hash of `code_files`."""
    files = code_files(*entries, within=within, without=without)
    return sha256_text(repr(files))[:LENGTH]


def changed_files(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """The files that changed, came or went, for a message; empty: none."""
    changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return ", ".join(changed[:3]) + more


def _below(module: str, packages: Collection[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _path(module: str) -> Path | None:
    """None: no module of ours (a name that a module holds)."""
    parts = module.split(".")
    if parts[0] != "derta" or len(parts) == 1:
        return None
    place = PACKAGE.joinpath(*parts[1:])
    files = (place.with_suffix(".py"), place / "__init__.py")
    return next((file for file in files if file.is_file()), None)


@cache
def _read(source: str) -> tuple[str, tuple[str, ...]]:
    """(hash, imported modules) of a source text."""
    tree = _NumbersOnly().visit(ast.parse(source))
    return sha256_text(_shape(tree))[:LENGTH], tuple(_imported(tree))


class _NumbersOnly(ast.NodeTransformer):
    """A tree without what changes no number."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Docstrings and other bare texts, and calls of print."""
        value = node.value
        if isinstance(value, ast.Constant) or (isinstance(value, ast.Call) and _name(value.func) == "print"):
            return None
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """The kind of an error counts, not its text."""
        if isinstance(node.exc, ast.Call):
            node.exc = node.exc.func
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | None:
        """Imports for type checkers."""
        return None if _name(node.test) == "TYPE_CHECKING" and not node.orelse else self.generic_visit(node)


def _name(node: ast.expr) -> str | None:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None


def _shape(node: object) -> str:
    """The tree as text, the same in every version of Python: fields that a version adds are empty and left out."""
    if isinstance(node, ast.AST):
        fields = ((name, _shape(value)) for name, value in ast.iter_fields(node) if value not in (None, []))
        return f"{type(node).__name__}({','.join(f'{name}={text}' for name, text in fields)})"
    if isinstance(node, list):
        return f"[{','.join(map(_shape, node))}]"
    return repr(node)


def _imported(tree: ast.AST) -> Iterator[str]:
    """Modules that are imported anywhere in a file; for `from a import b` both `a` and `a.b` (if that is one)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)

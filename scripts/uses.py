"""Which objects of the package each test file uses, by what its imports name; files are parsed, never run.

An object is used where code names it: by a name that was imported, as an attribute of a module or a class that was, through a helper
module's function or a fixture that does so, or as a method of an instance whose class is used.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

Function = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


class Uses(NamedTuple):
    """What a piece of code names: dotted names of imported things and of its own module, attributes of anything, fixtures."""

    names: set[str]
    attributes: set[str]
    fixtures: set[str]


class Module:
    """A parsed file: what its names stand for."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self.tree = ast.parse(path.read_text("utf-8"))
        self._known: dict[ast.AST, Uses] = {}

    @cached_property
    def imported(self) -> dict[str, str]:
        """What each imported name stands for, dotted."""
        known: dict[str, str] = {}
        for node in _statements(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    whole = alias.name if alias.asname else alias.name.partition(".")[0]
                    known[alias.asname or whole] = whole
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        return known

    @cached_property
    def defined(self) -> dict[str, ast.stmt]:
        """The statement that makes each name of the module's own."""
        known: dict[str, ast.stmt] = {}
        for statement in self.tree.body:
            if isinstance(statement, ast.FunctionDef | ast.ClassDef):
                known[statement.name] = statement
            else:
                stored = (n for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
                known |= dict.fromkeys((name.id for name in stored), statement)
        return known

    def uses(self, node: ast.AST) -> Uses:
        """What `node` names; names that a function binds for itself are left out."""
        if node not in self._known:
            uses = self._known[node] = Uses(set(), set(), set())
            for dotted in _free(node, uses):
                root, _, rest = dotted.partition(".")
                whole = self.imported.get(root) or (f"{self.name}.{root}" if root in self.defined else "")
                if whole:
                    uses.names.add(f"{whole}.{rest}" if rest else whole)
        return self._known[node]


def _free(node: ast.AST, uses: Uses) -> set[str]:
    """The names, and chains of attributes of names, that `node` reads and no function within it binds."""
    read, bound, left = set(), set(), [node]
    while left:
        here = left.pop()
        if isinstance(here, Function) and here is not node:
            read |= _free(here, uses)
        elif isinstance(here, ast.Name):
            (read if isinstance(here.ctx, ast.Load) else bound).add(here.id)
        elif isinstance(here, ast.Attribute):
            uses.attributes.add(here.attr)
            read |= {chain} if (chain := _dotted(here)) else set()
            left.append(here.value)
        else:
            left += ast.iter_child_nodes(here)
    if not isinstance(node, Function):
        return read
    arguments = {a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg)}
    if _asks(node):
        uses.fixtures.update(arguments)
    return {chain for chain in read if chain.partition(".")[0] not in arguments | bound}


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Every statement within `node`, however deep."""
    for name in ("body", "orelse", "finalbody", "handlers"):
        inner = getattr(node, name, ())
        for statement in inner if isinstance(inner, list) else ():
            yield statement
            yield from _statements(statement)


def _dotted(node: ast.AST) -> str | None:
    """`a.b.c` of a chain of attributes that begins with a name that is read."""
    if isinstance(node, ast.Name):
        return node.id if isinstance(node.ctx, ast.Load) else None
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value)):
        return f"{before}.{node.attr}"
    return None


def _asks(node: ast.AST) -> bool:
    """Whether it is a test or a fixture, whose arguments are fixtures."""
    if not isinstance(node, ast.FunctionDef):
        return False
    return node.name.startswith("test_") or any("fixture" in ast.unparse(d) for d in node.decorator_list)


class Package:
    """Every module below a folder that is a package."""

    def __init__(self, folder: Path) -> None:
        self.modules = {module.name: module for module in _modules(folder)}
        self._classes = {
            f"{module.name}.{name}": node
            for module in self.modules.values()
            for name, node in module.defined.items()
            if isinstance(node, ast.ClassDef)
        }

    def resolve(self, dotted: str) -> str | None:
        """`module.object[.attribute...]` where the thing is defined, whichever way it was imported; none where it is foreign."""
        parts = dotted.split(".")
        for end in range(len(parts), 0, -1):
            module = self.modules.get(".".join(parts[:end]))
            if module is None:
                continue
            if end == len(parts) or parts[end] in module.defined:
                return dotted
            elsewhere = module.imported.get(parts[end])
            return None if elsewhere is None else self.resolve(".".join([elsewhere, *parts[end + 1 :]]))
        return None

    @cached_property
    def makers(self) -> dict[str, set[str]]:
        """For each class, what gives instances of it: itself, classes made from it, and what is annotated to return one."""
        makers = {name: {name} for name in self._classes}
        for module in self.modules.values():
            for name, node in module.defined.items():
                given = [part.returns for part in ast.walk(node) if isinstance(part, ast.FunctionDef) and part.returns]
                given += node.bases if isinstance(node, ast.ClassDef) else []
                for part in given:
                    for dotted in module.uses(part).names:
                        if (kind := self.resolve(dotted)) in makers:
                            makers[kind].add(f"{module.name}.{name}")
        return {name: _closed(name, makers) for name in makers}

    def calls_itself(self, kind: str, method: str) -> set[str]:
        """Methods of a class, and of the classes made from it, that lead to its `method`."""
        known = {method}
        nodes = [self._classes[name] for name in self.makers[kind] if name in self._classes]
        functions = [f for node in nodes for f in node.body if isinstance(f, ast.FunctionDef)]
        while more := {f.name for f in functions if _own_calls(f) & known} - known:
            known |= more
        return known


def _closed(name: str, makers: dict[str, set[str]]) -> set[str]:
    reached, left = set(), [name]
    while left:
        if (here := left.pop()) not in reached:
            reached.add(here)
            left += makers.get(here, set())
    return reached


def _own_calls(function: ast.FunctionDef) -> set[str]:
    own = (n for n in ast.walk(function) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name))
    return {node.attr for node in own if isinstance(node.value, ast.Name) and node.value.id == "self"}


def _modules(folder: Path) -> Iterator[Module]:
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        yield Module(".".join(parts[:-1] if parts[-1] == "__init__" else parts), path)


class Suite:
    """The test files below a folder, with the helpers and fixtures that they share."""

    def __init__(self, folder: Path, package: Package) -> None:
        self.folder, self.package = folder, package

    def uses(self) -> dict[str, Uses]:
        """By test file, from the folder's parent: what it uses, names resolved to where each thing is defined."""
        parsed = {path: Module(path.stem, path) for path in sorted(self.folder.rglob("*.py"))}
        tests = [module for path, module in parsed.items() if path.name.startswith("test_")]
        return {module.path.relative_to(self.folder.parent).as_posix(): self._of(module, parsed) for module in tests}

    def _of(self, module: Module, parsed: dict[Path, Module]) -> Uses:
        near = {path.stem: other for path, other in parsed.items() if path.parent == module.path.parent}
        shared = [parsed[at] for folder in module.path.parents if (at := folder / "conftest.py") in parsed]
        total = Uses(set(), set(), set())
        left, done = [(module, module.tree)], set()
        while left:
            where, node = left.pop()
            if (key := (where.path, id(node))) in done:
                continue
            done.add(key)
            found = where.uses(node)
            total = Uses(*(a | b for a, b in zip(total, found, strict=True)))
            for dotted in found.names:
                home, _, name = dotted.partition(".")
                helper = where if home == where.name else near.get(home)
                if helper not in (None, module) and (at := helper.defined.get(name.partition(".")[0])) is not None:
                    left.append((helper, at))
            left += [(f, f.defined[name]) for name in found.fixtures for f in shared if name in f.defined]
        resolved = {place for dotted in total.names if (place := self.package.resolve(dotted))}
        return total._replace(names=resolved)


def is_used(place: str, uses: Uses, package: Package) -> bool:
    """Whether a test file uses `module.name` or `module.Class.method`; a method, through an instance of the class too."""
    if place in uses.names:
        return True
    kind, _, method = place.rpartition(".")
    named = bool(package.makers.get(kind, set()) & uses.names)
    return named and bool(package.calls_itself(kind, method) & uses.attributes)

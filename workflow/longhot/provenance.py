"""What a result depends on besides its input files: the library code that made it.

Snakemake does not rerun a job when an imported library file changes. Each rule therefore carries a digest
of the modules that its script imports, transitively; a change reruns just the stages that it touches. Comments
and docstrings do not count.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path

WORKFLOW = Path(__file__).resolve().parent.parent


@functools.cache
def code_digest(script: str, *plugins: str) -> str:
    """Digest of a script, of the library modules that it imports, and of plugins that it loads by name.

    Args:
        script: file name in workflow/scripts without its ending.
        plugins: dotted names of modules, such as ``longhot.models.mace``; all of a package by ``*`` as the last part.
    """
    pending = [WORKFLOW / "scripts" / f"{script}.py", *(path for name in plugins for path in _plugin_files(name))]
    seen: set[Path] = set()
    while pending:
        path = pending.pop()
        if path not in seen:
            seen.add(path)
            pending += _imports(path)
    digest = hashlib.sha256()
    for path in sorted(seen):
        digest.update(f"{path.relative_to(WORKFLOW)}\n{_substance(path)}\n".encode())
    return digest.hexdigest()[:16]


def _plugin_files(name: str) -> list[Path]:
    """Files that an import of a plugin runs, or of every module of a package."""
    package, _, last = name.rpartition(".")
    if last != "*":
        return _module_files(name)
    return [*_module_files(package), *WORKFLOW.joinpath(*package.split(".")).glob("*.py")]


def _module_files(name: str) -> list[Path]:
    """Files that an import of ``name`` runs: the module and the packages above it."""
    parts = name.split(".")
    files = []
    for depth in range(1, len(parts) + 1):
        base = WORKFLOW.joinpath(*parts[:depth])
        files += [path for path in (base / "__init__.py", base.with_suffix(".py")) if path.exists()]
    return files


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def _imports(path: Path) -> list[Path]:
    files = []
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        files += [file for name in names if name.split(".")[0] == "longhot" for file in _module_files(name)]
    return files


@functools.cache
def _substance(path: Path) -> str:
    """The syntax tree as text, without docstrings and other bare strings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [one for one in body if not _is_text(one)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)

"""The floors of the program, read from its source: what may import what, and where state lives."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import MagicMock

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {"migrations": 0, "store": 1, "gateway": 2, "handlers": 3, "tools": 4, "server": 5}
FILES = sorted(
    [ROOT / "server.py", *(file for floor in FLOORS for file in (ROOT / floor).rglob("*.py"))]
)
TREES = {str(file.relative_to(ROOT)): ast.parse(file.read_text("utf-8")) for file in FILES}
# module -> where it may be imported, as beginnings of paths.
HOMES = {
    "paho": ("gateway/broker/",),
    "sqlite3": ("store/",),
    "aiosqlite": ("store/",),
    "jsonschema": ("handlers/contract.py",),
    "tornado.web": ("handlers/", "server.py"),
    "tornado.websocket": ("handlers/", "server.py"),
    "tornado.httpserver": ("handlers/", "server.py"),
}
# The clock is an argument below server.py; a monotonic clock measures and does not tell the time.
CLOCKS = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "date.today"}
ENVIRONMENT = {"os.environ", "os.getenv", "os.putenv"}
MUTABLE_NODES = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
MUTABLE_CALLS = {"list", "dict", "set", "bytearray", "deque", "defaultdict", "Counter"}
MUTABLE_CALLS |= {"OrderedDict", "Event", "Lock", "Queue", "local", "ContextVar", "count", "iter"}


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield every module that is imported, and every name imported from one, dotted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def uses(tree: ast.AST) -> set[str]:
    """Return every attribute in the code as `object.attribute`, and every imported name."""
    dotted = {
        f"{ast.unparse(node.value).rpartition('.')[2]}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
    }
    return dotted | set(imports(tree))


@pytest.mark.parametrize("path", TREES)
def test_imports_go_down_never_up(path: str) -> None:
    """server -> tools -> handlers -> gateway -> store -> migrations."""
    floor = FLOORS[path.split("/", maxsplit=1)[0].removesuffix(".py")]
    for name in imports(TREES[path]):
        assert FLOORS.get(name.split(".")[0], 0) <= floor, f"{path} imports {name}"


@pytest.mark.parametrize("path", TREES)
def test_each_library_has_one_home(path: str) -> None:
    """paho, SQLite, jsonschema and Tornado's HTTP side are known only where they belong."""
    for name in imports(TREES[path]):
        for library, homes in HOMES.items():
            if name == library or name.startswith(f"{library}."):
                assert path.startswith(homes), f"{path} imports {name}"


@pytest.mark.parametrize("path", [path for path in TREES if path != "server.py"])
def test_the_clock_and_the_environment_are_arguments(path: str) -> None:
    """Only server.py asks what time it is and what was configured."""
    assert not uses(TREES[path]) & (CLOCKS | ENVIRONMENT)


def called_name(call: ast.Call) -> str:
    """Return the last part of what is called."""
    return ast.unparse(call.func).rpartition(".")[2]


def is_mutable(value: ast.expr | None) -> bool:
    """Whether an expression makes something that can be changed."""
    return isinstance(value, MUTABLE_NODES) or (
        isinstance(value, ast.Call) and called_name(value) in MUTABLE_CALLS
    )


@pytest.mark.parametrize("path", TREES)
def test_no_module_and_no_class_holds_state(path: str) -> None:
    """What can change belongs to an object; a constant mapping has an upper-case name, and no
    function says `global`."""
    tree = TREES[path]
    bodies = [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]
    for statement in (one for body in bodies for one in body.body):
        if isinstance(statement, ast.Assign | ast.AnnAssign) and is_mutable(statement.value):
            targets = getattr(statement, "targets", None) or [statement.target]
            for name in map(ast.unparse, targets):
                constant = name.isupper() and not isinstance(statement.value, ast.Call)
                assert constant or name in ("__all__", "__slots__"), f"{path}: {name}"
    assert not any(isinstance(node, ast.Global) for node in ast.walk(tree)), path


@pytest.mark.parametrize("path", TREES)
def test_constants_are_never_changed(path: str) -> None:
    """No statement writes into an upper-case name, or calls what would change it."""
    changing = {"append", "add", "update", "clear", "pop", "extend", "setdefault", "remove"}
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            assert not ast.unparse(node.value).isupper(), f"{path}:{node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = ast.unparse(node.func.value)
            assert not (node.func.attr in changing and owner.isupper()), f"{path}:{node.lineno}"


@pytest.mark.parametrize("path", TREES)
def test_every_file_says_what_it_answers_for(path: str) -> None:
    """A module begins with a docstring that is a sentence."""
    assert (ast.get_docstring(TREES[path]) or "").rstrip().endswith((".", ".)")), path


def test_every_collaborator_of_a_handler_is_handed_over() -> None:
    """What a handler's classes annotate is in its line of the route table, and nothing else is."""
    from gateway.config import Config
    from handlers.base import Handler
    from handlers.routes import make_application

    given_parts = {
        name: Config.from_mapping({}) if name == "config" else MagicMock(version="1.0.0")
        for name in inspect.signature(make_application).parameters
    }
    application = make_application(**given_parts)
    rules = [rule for rule in application.wildcard_router.rules if rule.target is not None]
    routed = [(rule.target, set(rule.target_kwargs)) for rule in rules]
    assert len(routed) > 5
    for handler, given in routed:
        if not issubclass(handler, Handler):
            continue  # Tornado's own, such as the one for static files
        ours = [base for base in handler.__mro__ if base.__module__.startswith("handlers")]
        wanted = {
            name
            for base in ours
            for name in inspect.get_annotations(base)
            if not name.startswith("_") and not any(name in vars(one) for one in ours)
        }
        assert given == wanted, handler.__name__

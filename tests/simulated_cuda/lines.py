"""Which lines of memtrace run, and which ones are for a CUDA device."""

import ast
import sys
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2] / "memtrace"
FILES = sorted(ROOT.rglob("*.py"))
WHOLE = {"kernels/cuda.py", "forward/graphs.py"}
"""Files of which every function runs on a CUDA device alone."""


@contextmanager
def recorded():
    """Yield the set of (file, line) of memtrace that run meanwhile, in this thread."""
    seen, files, before = set(), set(map(str, FILES)), sys.gettrace()

    def line(frame, event, _):
        seen.add((frame.f_code.co_filename, frame.f_lineno))
        return line

    def call(frame, event, argument):
        return line(frame, event, argument) if frame.f_code.co_filename in files else None

    sys.settrace(call)
    try:
        yield seen
    finally:
        sys.settrace(before)


def for_cuda():
    """The (file, line) of each statement that only runs where there is a CUDA device.

    The branches of every condition on a device's type, the rest of a function after one that
    returns where there is none, whatever calls torch.cuda, and the whole of some files; but not
    what handles exceptions.
    """
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for body in _bodies(tree):
            for place, statement in enumerate(body):
                branch = _branch(statement, body[place + 1 :])
                yield from ((str(path), line) for each in branch for line in _lines(each))
                if _calls_cuda(statement):
                    yield str(path), statement.lineno
        if "/".join(path.parts[-2:]) in WHOLE:
            functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
            for each in (statement for function in functions for statement in function.body):
                yield from ((str(path), line) for line in _lines(each))


def _bodies(tree):
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            if isinstance(getattr(node, field, None), list):
                yield getattr(node, field)


def _branch(statement, after):
    """What runs only on a CUDA device, of an `if` that asks for one and of what follows it."""
    if not isinstance(statement, ast.If):
        return []
    asked = ast.unparse(statement.test)
    if ("'cuda'" not in asked and "'cpu'" not in asked) or " and (not " in asked:
        return []  # the last asks whether there is none
    positive = ("== 'cuda'" in asked) or ("!= 'cpu'" in asked)
    if positive:
        return statement.body
    returns = isinstance(statement.body[-1], ast.Return | ast.Raise)
    return statement.orelse or (after if returns and " and " not in asked else [])


def _calls_cuda(statement):
    """Does a statement, apart from those in it, name something of torch.cuda?"""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return False
    inner = {id(node) for body in _bodies(statement) for each in body for node in ast.walk(each)}
    names = (
        ast.unparse(node)
        for node in ast.walk(statement)
        if id(node) not in inner and isinstance(node, ast.Attribute)
    )
    return any(name.startswith("torch.cuda.") for name in names)


def _lines(statement):
    """The first line of a statement and of those in it; not of an exception's handler."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return
    yield statement.lineno
    for field in ("body", "orelse", "finalbody"):
        for each in getattr(statement, field, []):
            yield from _lines(each)

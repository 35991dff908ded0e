"""Of the three engines, each backend has one."""

from conftest import BACKEND

collect_ignore = [
    f"test_{backend}.py"
    for backend in ("jax", "tensorflow", "torch")
    if backend != BACKEND
]

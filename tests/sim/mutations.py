"""Production code with one rule taken out of it, in memory: some scenario must notice.

    with mutated(a_counter_per_datum):
        test_an_id_that_was_empty_for_long_gets_versions_that_no_content_had()        # raises

Each mutation is a function: its docstring is the rule, and it returns what to put in the place of
which attribute.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

Patch = tuple[type | ModuleType, str, object]
Mutation = Callable[[], list[Patch]]


@contextmanager
def mutated(mutation: Mutation) -> Iterator[None]:
    """Take a rule out as long as the block lasts; raises KeyError if its code has moved."""
    patches = mutation()
    before = [(owner, name, owner.__dict__[name]) for owner, name, _ in patches]
    for owner, name, replacement in patches:
        setattr(owner, name, replacement)
    try:
        yield
    finally:
        for owner, name, original in before:
            setattr(owner, name, original)

"""The commands that the API has given and the core has not taken yet."""

import itertools

from zreg.client.core.commands import SetPublication, WithdrawPublication
from zreg.effects import Local


class OutgoingQueue:
    """Commands in the order in which they were given; the runtime's lock guards them.

    Invariants:
    - The queue holds at most one command for each publisher id, the newest. A new command takes the
      place of the one that it replaces. So a burst of republishes costs one message, and a publish
      and an unpublish of one id cannot overtake each other.
    - The queue holds a withdrawal only if the core holds the publication. Otherwise the withdrawal
      just removes the command that would have published it.
    - Other commands are neither merged nor reordered.
    """

    def __init__(self) -> None:
        # By publisher id; commands of other kinds by a number of their own.
        self._commands: dict[bytes | int, Local] = {}
        self._numbers = itertools.count()
        # The publisher ids whose last command that the core took was a publish.
        self._in_core: set[bytes] = set()

    def __len__(self) -> int:
        """Return how many commands wait."""
        return len(self._commands)

    def put(self, command: Local) -> None:
        """Add a command that is not about a publication."""
        self._commands[next(self._numbers)] = command

    def put_publication(self, command: SetPublication) -> None:
        """Add a publication, or replace the command that waits for its id."""
        self._commands[command.publisher_id] = command

    def put_withdrawal(self, publisher_id: bytes) -> None:
        """Undo a publication: withdraw it from the core, or just take it out of the queue."""
        if publisher_id in self._in_core:
            self._commands[publisher_id] = WithdrawPublication(publisher_id)
        else:
            self._commands.pop(publisher_id, None)

    def holds(self, publisher_id: bytes) -> bool:
        """Return whether a command for this publisher id waits."""
        return publisher_id in self._commands

    def is_in_core(self, publisher_id: bytes) -> bool:
        """Return whether the core holds this publication, also if its withdrawal waits here."""
        return publisher_id in self._in_core

    def take_all(self) -> list[Local]:
        """Return all commands for the core, and empty the queue."""
        in_core = self._in_core
        # A finalizer of the program may run between any two steps, on this thread, and add one.
        taken, self._commands = self._commands, {}
        commands = list(taken.values())
        for command in commands:
            if type(command) is SetPublication:
                in_core.add(command.publisher_id)
            elif type(command) is WithdrawPublication:
                in_core.discard(command.publisher_id)
        return commands

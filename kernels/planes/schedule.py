"""The order in which planes are run, so that few of them are held at a time.

A stage hands a plane to the next one by adding it into pooled planes. All planes of one
vertical displacement are a row. A pooled row is held from the first plane added to it
until it has been run; a row is run as soon as it is complete.
"""

from collections.abc import Sequence

CLEAR, FORWARD, BACKWARD = range(3)
Event = tuple[int, int, int, int]


class _Slots:
    """Numbers for things held at the same time; the smallest free one first."""

    def __init__(self) -> None:
        self.held: dict[int, int] = {}
        self.most = 0

    def take(self, key: int) -> int:
        used = set(self.held.values())
        slot = next(s for s in range(len(used) + 1) if s not in used)
        self.held[key] = slot
        self.most = max(self.most, slot + 1)
        return slot


class Schedule:
    """Events (kind, stage, row, slot), and the slots of every stage.

    Args:
        rows: number of rows of every stage.
        feeds: ``feeds[s][r]``, the rows of stage s + 1 that row r of stage s adds to.
        backward: whether to plan a vector-Jacobian product instead of a value.

    Attributes:
        slot_of, gradient_slot_of: per stage, the slot of every row.
        slots, gradient_slots: per stage, how many are held at most.
    """

    def __init__(
        self,
        rows: Sequence[int],
        feeds: Sequence[Sequence[Sequence[int]]],
        backward: bool,
    ) -> None:
        self.rows, self.feeds, self.backward = rows, feeds, backward
        self.events: list[Event] = []
        self.last = len(rows) - 1
        self.slot_of = [[0] * n for n in rows]
        self.gradient_slot_of = [[0] * n for n in rows]
        self._slots = [_Slots() for _ in rows]
        self._gradient_slots = [_Slots() for _ in rows]
        self._missing = [[0] * rows[0]]
        for feed, n in zip(feeds, rows[1:], strict=True):
            self._missing.append(
                [sum(k in targets for targets in feed) for k in range(n)]
            )
        # A row can be run backward once all the rows it adds to have been.
        self._waiting = [[len(set(t)) for t in feed] for feed in feeds]
        self._readers = [list(missing) for missing in self._missing]
        for row in range(rows[0]):
            self._complete(0, row)

    @property
    def slots(self) -> list[int]:
        return [s.most for s in self._slots]

    @property
    def gradient_slots(self) -> list[int]:
        return [s.most for s in self._gradient_slots]

    def _emit(self, kind: int, stage: int, row: int) -> None:
        self.events.append((kind, stage, row, self.slot_of[stage][row]))

    def _complete(self, stage: int, row: int) -> None:
        """Everything that is added to this row has been added."""
        if stage == self.last and self.backward:
            self._run_backward(stage, row)
            return
        targets = sorted(set(self.feeds[stage][row])) if stage < self.last else []
        for k in targets:
            if k not in self._slots[stage + 1].held:
                self.slot_of[stage + 1][k] = self._slots[stage + 1].take(k)
                self._emit(CLEAR, stage + 1, k)
        self._emit(FORWARD, stage, row)
        if not self.backward:
            self._slots[stage].held.pop(row, None)
        for k in targets:
            self._missing[stage + 1][k] -= 1
            if self._missing[stage + 1][k] == 0:
                self._complete(stage + 1, k)

    def _run_backward(self, stage: int, row: int) -> None:
        if stage > 0:
            self.gradient_slot_of[stage][row] = self._gradient_slots[stage].take(row)
        self._emit(BACKWARD, stage, row)
        self._slots[stage].held.pop(row, None)
        if stage < self.last:
            for k in set(self.feeds[stage][row]):
                self._readers[stage + 1][k] -= 1
                if self._readers[stage + 1][k] == 0:
                    self._gradient_slots[stage + 1].held.pop(k)
        if stage > 0:
            for source, targets in enumerate(self.feeds[stage - 1]):
                if row in targets:
                    self._waiting[stage - 1][source] -= 1
                    if self._waiting[stage - 1][source] == 0:
                        self._run_backward(stage - 1, source)

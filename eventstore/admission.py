"""From what came by the bus to lines of the log: judged, recognised if it is there already, and spliced."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from ..bus import Delivery
from .ids import event_key, is_event, letter_key
from .judging import Verdict, judge
from .line import Letter, Record, chain_of, event_line, letter_line, parse

Holder = Callable[[int, Callable[[Record], bool]], Record | None]


class Admitted(NamedTuple):
    """A line that is about to be written, with the key by which it is found again."""

    n: int
    sequence: int
    line: bytes
    key: int
    verdict: Verdict


class Admission:
    """Turns one call's deliveries into lines. `holder` finds a line of the log by its key and a test.

    `chain` is the one at the log's last line.
    """

    def __init__(self, origin: str, last: int, chain: str, sequence: int, holder: Holder) -> None:
        self.admitted: list[Admitted] = []
        self.duplicates = 0
        self.sequence = sequence
        self._origin = origin
        self._last = last
        self._chain = chain
        self._holder_in_log = holder
        self._new: defaultdict[int, list[Admitted]] = defaultdict(list)

    def take(self, deliveries: Iterable[Delivery]) -> None:
        """Take the deliveries that are beyond the bus sequence that the log holds."""
        for delivery in deliveries:
            if delivery.sequence > self.sequence:
                self.sequence = delivery.sequence
                self._take(delivery)

    def _take(self, delivery: Delivery) -> None:
        verdict = judge(delivery.payload, delivery.subject)
        if verdict.event is None:
            return self._take_letter(delivery, Letter(delivery.payload, delivery.subject), verdict)
        event_id = verdict.event.id
        key = event_key(event_id)
        held = self._holder(key, partial(is_event, id=event_id))
        if held is None:
            line = event_line(self._last + 1, delivery.sequence, delivery.stored_at, delivery.payload, self._chain)
            return self._admit(delivery, line, key, verdict)
        if held.payload == delivery.payload:
            self.duplicates += 1
            return None
        letter = Letter(delivery.payload, delivery.subject, held.n)
        return self._take_letter(delivery, letter, Verdict(None, "id already used", "id", "id_used"))

    def _take_letter(self, delivery: Delivery, letter: Letter, verdict: Verdict) -> None:
        key = letter_key(letter)
        if self._holder(key, partial(_is_letter, letter=letter)) is not None:
            self.duplicates += 1
            return
        line = letter_line(self._last + 1, delivery.sequence, delivery.stored_at, letter, self._chain)
        self._admit(delivery, line, key, verdict)

    def _admit(self, delivery: Delivery, line: bytes, key: int, verdict: Verdict) -> None:
        self._last += 1
        self._chain = chain_of(line)
        admitted = Admitted(self._last, delivery.sequence, line, key, verdict)
        self._new[key].append(admitted)
        self.admitted.append(admitted)

    def _holder(self, key: int, is_it: Callable[[Record], bool]) -> Record | None:
        for new in self._new.get(key, ()):
            if is_it(record := parse(self._origin, new.line)):
                return record
        return self._holder_in_log(key, is_it)


def _is_letter(record: Record, letter: Letter) -> bool:
    held = record.letter
    return held is not None and (held.undecodable, held.natssubject) == (letter.undecodable, letter.natssubject)

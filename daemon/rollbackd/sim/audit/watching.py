"""That it goes on looking, and says so when it cannot (W2, W5, W6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollbackd.sim.audit.book import Noun
from rollbackd.sim.audit.reading import unreachable
from rollbackd.sim.tape import Booted, Died, Started, Told

if TYPE_CHECKING:
    from rollbackd.sim.audit.book import Book, Doc
    from rollbackd.sim.audit.windows import Windows
    from rollbackd.sim.tape import Ms

WINDOWS_APART = 4
"""Intervals between two newest windows at most: where a clock is put right, or windows are aligned anew."""

LONGEST_RETRY: Ms = 5_000
SILENCE: Ms = 120_000
ABSENT: Ms = 300_000
QUEUED: Ms = 500
BEHIND: Ms = 20_000
"""So long an answer may wait behind a slow disk before it is looked at."""

SOURCE = "source/prometheus"
USABLE = frozenset({"breach", "ok", "low_traffic"})


class Watching(Noun):
    """Each configured trigger is asked for its newest window; who sees nothing is told of, once."""

    def __init__(self, book: Book, windows: Windows) -> None:
        super().__init__(book)
        self.windows = windows
        self._newest: dict[str, Ms] = {}  # watch → the newest window asked for
        self._silent: Ms | None = None  # since when nothing is answered
        self._broke: Ms = 0  # when that was broken last
        self._usable: dict[str, Ms] = {}  # trigger → when a window of it told anything, at the latest
        self._saw: dict[str, Ms] = {}  # the same at the earliest: an open life may have kept its watch
        self.records = {Started: self._asked, Told: self._told, Booted: self._gone, Died: self._gone}
        self.rows = {
            "daemon_started": self._begun,
            "configuration_loaded": self._loaded,
            "life_ended": self._ended,
            "matter_opened": self._opened,
            "matter_changed": lambda document: self._seen(document["matter"]),
            "matter_resolved": lambda document: self._seen(document["matter"]),
        }

    def _gone(self, _: Booted | Died) -> None:
        self._newest.clear()
        self._silent = None
        for what in ("ask", "reask", "silent", "speaks", "blind", "sees"):
            self.book.dues.settle_all(what)

    def _begun(self, document: Doc) -> None:
        if document.get("finish_only") is None:
            self._expect(self.book.triggers.values(), document["at"])
        self._expect(self._pinned(), document["at"])

    def _loaded(self, document: Doc) -> None:
        for what in ("ask", "reask", "blind", "sees"):
            self.book.dues.settle_all(what)
        known = self.book.triggers
        for trigger in document["config"]["triggers"]:
            before = known.get(trigger["name"])
            if before is None or before["fingerprint"] != trigger["fingerprint"] or self.book.finish_only:
                self._usable[trigger["name"]] = document["at"]
                self._saw.setdefault(trigger["name"], document["at"])
        self._expect(document["config"]["triggers"], document["at"])
        self._expect(self._pinned(), document["at"])

    def _pinned(self) -> list[Doc]:
        """Definitions that open lives are judged by, whatever the files say by now (S3)."""
        lives = [life for life in self.book.lives.values() if life.ended is None]
        return [trigger for life in lives for trigger in life.triggers.values()]

    def _ended(self, document: Doc) -> None:
        configured = {watch_of(trigger) for trigger in self.book.triggers.values()}
        life = self.book.lives.get(document["life"])
        for trigger in life.triggers.values() if life is not None else ():
            if watch_of(trigger) not in configured or self.book.finish_only:
                for what in ("ask", "reask"):
                    self.book.dues.settle((what, watch_of(trigger)))

    def _expect(self, triggers: object, at: Ms) -> None:
        if self.book.frozen:
            return
        for trigger in list(triggers):  # type: ignore[call-overload]
            if not self.book.started:
                self._usable[trigger["name"]] = self._saw[trigger["name"]] = at
            self.book.dues.owe(("ask", watch_of(trigger)), at + WINDOWS_APART * trigger["interval"], "W6")

    # Asking

    def _asked(self, record: Started) -> None:
        if record.effect != "ask":
            return
        watch, ends, dues = record.fields["watch"], record.fields["ends"], self.book.dues
        definition = self.book.definitions.get(watch)
        dues.settle(("reask", watch))
        if len(ends) == 1:
            self._newest[watch] = ends[0]
        if dues.owes(("ask", watch)) and definition is not None:
            dues.owe(("ask", watch), record.steady + WINDOWS_APART * definition[0]["interval"], "W6")

    def _told(self, told: Told) -> None:
        dues, definition = self.book.dues, self.book.definitions.get(told.watch)
        silent = definition is None or unreachable(definition[1], told.answers)
        newest = len(told.ends) == 1 and told.ends[0] == self._newest.get(told.watch)
        if silent and newest and dues.owes(("ask", told.watch)):
            dues.owe(("reask", told.watch), told.steady + LONGEST_RETRY, "W2")
        if not self.book.started or self.book.frozen:
            return
        self._source(told.steady, unreachable=silent)
        if definition is not None and watch_of(definition[0]) == told.watch and not silent:
            self._see(told, definition[0])

    # Blind

    def _source(self, steady: Ms, *, unreachable: bool) -> None:
        dues, is_open = self.book.dues, SOURCE in self.book.matters
        if not unreachable:
            if self._silent is not None:
                self._broke = steady
            self._silent = None
            dues.settle(("silent", SOURCE))
            if is_open:
                dues.owe(("speaks", SOURCE), steady, "W6")
        elif self._silent is None:
            self._silent = steady
            intervals = [3 * trigger["interval"] for trigger in self.book.triggers.values()]
            if not is_open:
                dues.owe(("silent", SOURCE), steady + max(SILENCE, *intervals, 0) + BEHIND, "W6")

    def _see(self, told: Told, trigger: Doc) -> None:
        book, name = self.book, trigger["name"]
        current = book.triggers.get(name)
        if current is None or current["fingerprint"] != trigger["fingerprint"] or book.finish_only:
            return
        matter, watch = f"blind/{name}", self.windows.watch(trigger)
        told_last = watch.windows.get(told.ends[-1]) if watch is not None else None
        if watch is None or not told_last:
            return
        known = book.matters.get(matter)
        window = told_last[-1]
        if any(window.read(subject).verdict in USABLE for subject in window.subjects()):
            self._usable[name] = self._saw[name] = told.steady
            book.dues.settle(("blind", matter))
            if known is not None and known["cause"] != "sparse" and told.ends[-1] >= watch.newest:
                book.dues.owe(("sees", matter), told.steady, "W5")
            return
        late = (reading for subject in window.subjects() for reading in window.possible(subject))
        if any(reading.verdict in USABLE for reading in late):  # once what it waits for is given up (W10)
            self._usable[name] = self._saw[name] = told.steady
            book.dues.settle(("blind", matter))
            return
        book.dues.settle(("sees", matter))
        longest = max(ABSENT, trigger["windows"] * trigger["interval"]) + 3 * trigger["interval"]
        blind = told.steady - self._usable.get(name, told.steady) > longest
        if blind and known is None and SOURCE not in book.matters and told.steady - self._broke > ABSENT:
            book.dues.owe(("blind", matter), told.steady, "W5")

    def _opened(self, document: Doc) -> None:
        key, at = document["matter"], document["at"]
        self._seen(key)
        if key == SOURCE:
            long = self._silent is None or at - self._silent >= SILENCE
            holds = long and (self._silent is not None or at - self._broke < QUEUED)
            self.book.demand("W6", holds, key, "pages, and was silent since", self._silent)
        elif document["matter_kind"] == "blind" and document["cause"] != "sparse":
            usable = self._saw.get(document["trigger"], 0)
            holds = at - usable >= ABSENT - QUEUED or at - usable < QUEUED
            self.book.demand("W5", holds, key, "is blind, and saw something at", usable)

    def _seen(self, matter: str) -> None:
        for what in ("silent", "speaks", "blind", "sees"):
            self.book.dues.settle((what, matter))


def watch_of(trigger: Doc) -> str:
    return f"{trigger['name']}@{trigger['fingerprint']}"

"""What Prometheus told, and what had to become of it (I1, I8; W1–W5, W7, W9, W13, W14)."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from rollbackd.sim.audit.book import ALL, AUTOMATIC, BAD_ENDS, Noun
from rollbackd.sim.audit.reading import UNHEARD, Reading, leaves, unheard, unreachable, window_of
from rollbackd.sim.tape import Booted, Died, Started, Told

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rollbackd.sim.audit.book import Book, Doc, Life, Subject
    from rollbackd.sim.audit.reading import Whole, Window
    from rollbackd.sim.tape import Ms

REMEMBERED = 160
"""Windows of a watch that are kept: more than a life keeps as evidence."""

EVIDENCE = 64
JITTER: Ms = 100
"""Two clocks are compared through a skew that was measured a moment ago."""

BRAKE_WAIT: Ms = 1_000
QUIET = frozenset({"", "shadowed", "notified", *BAD_ENDS})
"""Ends after which the same breach says nothing new (W8)."""

GOES_ON = (
    *("rollback_began", "wait_began", "life_ended", "life_held", "subject_left", "action_changed"),
    *("life_approved", "wait_ended"),
)

QUEUED: Ms = 500
"""An answer may have waited so long before it was judged."""

SKEW_MATTERS: Ms = 1_200_000


class Watch:
    """The windows of one condition, as told."""

    def __init__(self, trigger: Doc) -> None:
        self.trigger = trigger
        self.interval: Ms = trigger["interval"]
        self.windows: dict[Ms, list[Window | Whole]] = {}
        self.newest: Ms = 0
        self.newest_asked: Ms = 0
        self.missing: set[Ms] = set()  # older windows that are being asked
        self.asked_at: Ms = 0  # steady: when the newest was asked
        self.silent = False  # and it was not answered so far
        self.steady: Ms = 0

    def take(self, told: Told, condition: Doc, grace: Callable[[Ms], Ms]) -> None:
        windows, ends = self.windows, self.ends(told.ends, told.interval)
        for index, end in enumerate(ends):
            begin = end - self.interval + grace(end)
            windows.setdefault(end, []).append(window_of(told, index, condition, begin))
        if len(ends) < len(told.ends):
            whole = windows[ends[0]][-1]
            later = [window_of(told, n, condition, whole.begin) for n in range(1, len(told.ends))]
            whole.later = later  # type: ignore[assignment]  # of its own kind
        self.newest = max(self.newest, ends[-1])
        self.missing.discard(told.ends[0])
        self.steady = told.steady
        while len(windows) > REMEMBERED:
            del windows[min(windows)]

    def ends(self, asked: Sequence[Ms], interval: Ms) -> Sequence[Ms]:
        """The windows that were asked: one, if so at several moments of its grace (W1)."""
        return asked if interval == self.interval else asked[:1]

    def readings(self, end: Ms, subject: str) -> list[Reading]:
        return [window.read(subject) for window in self.windows.get(end, ())]

    def possible(self, end: Ms, subject: str) -> list[Reading]:
        """What that window may have been judged to be."""
        return [reading for window in self.windows.get(end, ()) for reading in window.possible(subject)]

    def read(self, end: Ms, subject: str) -> Reading:
        """What is known of that window: `UNHEARD` where it was not told, or told in two ways."""
        found = UNHEARD
        for window in self.windows.get(end, ()):
            reading = window.read(subject)
            if reading.verdict:
                if found.verdict and found != reading:
                    return UNHEARD
                found = reading
        return found

    def run(self, subject: str, floor: Ms, most: int, verdict: str = "breach") -> tuple[int, bool]:
        """How many windows up to the newest say `verdict` without a gap, `most` at most, and whether
        it is certain that there are no more: the one before counts not, or says ok."""
        end, count = self.newest, 0
        while count < most and end - self.interval >= floor:
            found = self.read(end, subject).verdict
            if found != verdict:
                return count, found == "ok"
            count, end = count + 1, end - self.interval
        return count, end - self.interval < floor

    def since(self, steady: Ms, subject: str) -> list[Reading]:
        """The windows told at that moment or later."""
        since = [window for told in self.windows.values() for window in told if window.steady >= steady]
        return [reading for window in since for reading in window.possible(subject)]


class Windows(Noun):
    """Keeps the watches; nothing that had to fire may be missing (I1), nothing else may (I8)."""

    def __init__(self, book: Book) -> None:
        super().__init__(book)
        self.watches: dict[str, Watch] = {}
        self.nearly: dict[str, tuple[Ms, Ms]] = {}  # plan → end, steady (D9)
        self._first: list[str] = []  # triggers whose first window was judged in this batch
        self._standing: list[Subject] = []  # who breached as a rollout began
        self._skews: dict[Ms, Ms] = {0: 0}  # skew → when it was last told
        self._alignments: dict[str, list[Doc]] = {}  # group → what was learned of it, in order
        self.records = {
            Told: self._told,
            Started: self._asked,
            Booted: self._anew,
            Died: self._anew,
        }
        self.rows = {
            "life_opened": self._opened,
            "subject_joined": self._joined,
            "subject_disarmed": self._disarmed,
            "trigger_counted": self._recounted,
            "trigger_forgotten": self._recounted,
            "rollout_began": self._rollout_began,
            "first_window_judged": lambda document: self._first.append(document["trigger"]),
            "relapsed": self._relapsed,
            "alignment_learned": self._aligned,
            "subject_armed": self._relapsed,
            **dict.fromkeys(GOES_ON, self._went_on),
            "rollout_finished": self._forgive,
            "configuration_loaded": self._forgive,
            "daemon_started": self._forgive,
        }

    def watch(self, trigger: Doc, *, recovery: bool = False) -> Watch | None:
        suffix = "/recovered" if recovery and trigger.get("recovered") else ""
        return self.watches.get(f"{trigger['name']}@{trigger['fingerprint']}{suffix}")

    def settle(self, at: Ms) -> None:
        book = self.book
        for name in self._first:
            trigger = book.triggers.get(name)
            watch = self.watch(trigger) if trigger is not None else None
            if watch is None or watch.missing or not watch.windows:
                continue
            for subject in watch.windows[watch.newest][-1].subjects():
                bad = watch.read(watch.newest, subject).verdict == "breach"
                known = not bad or (name, subject) in book.disarmed
                book.demand("W13", known, name, subject, "breaches in the first window, and may act")
        for key in self._standing:
            book.demand("W9", key in book.disarmed, key, "breached before the rollout, and may act")
        self._first.clear()
        self._standing.clear()

    # Telling

    def _asked(self, record: Started) -> None:
        if record.effect != "ask":
            return
        ends = record.fields["ends"]
        definition = self.book.definitions.get(record.fields["watch"])
        self.book.demand("I2", definition is not None, "asks for", record.fields["watch"], "nobody defined")
        if definition is None:
            return
        watch = self.watches.get(record.fields["watch"])
        if watch is None:
            watch = self.watches[record.fields["watch"]] = Watch(definition[0])
        interval, moments = watch.interval, ends
        ends = watch.ends(moments, record.fields["interval"])
        aligned = all((end - self._align(watch, end)) % interval == 0 for end in ends)
        self.book.demand("W1", aligned, record.key, "does not end at its interval")
        self.book.demand("I16", len(moments) <= 4 * EVIDENCE, record.key, "asks without end")
        grace = self._grace(watch, ends[0])
        late = [grace * n // 16 for n in range(len(moments))]
        graceful = ends is moments or ([at - ends[0] for at in moments] == late and late[-1] <= grace)
        self.book.demand("W1", graceful, record.key, "looks for late samples at", moments)
        if ends[-1] > watch.newest_asked:
            self._passed(watch, record.steady)
        if ends[-1] < watch.newest_asked:
            watch.missing.add(ends[0])
            self.book.dues.settle_all("fire", watch.trigger["name"])
            for life in self.book.lives.values():
                if watch.trigger["name"] in life.triggers:
                    self.book.dues.settle(("judge", life.id))
        watch.newest_asked = max(watch.newest_asked, ends[-1])

    def _passed(self, watch: Watch, steady: Ms) -> None:
        """A whole window passed without any answer: no automatic wait goes on for it (D7)."""
        silent, since = watch.silent, watch.asked_at
        watch.silent, watch.asked_at = False, steady
        for life in self.book.lives.values() if silent else ():
            over, names = life.wait_over, {key[0] for key in life.present()}
            if over is None or since <= over or not life.automatic or life.ended is not None:
                continue
            if (
                names != {watch.trigger["name"]}
                or self.watch(life.triggers[watch.trigger["name"]]) is not watch
            ):
                continue
            rests = life.held is not None or life.state in ("waiting_approval", "waiting_lock")
            if not rests and not self.book.frozen and not self.book.dues.owes(("judge", life.id)):
                self.book.dues.owe(("judge", life.id), steady, "D7")

    def _align(self, watch: Watch, end: Ms) -> Ms:
        """Where the window that ends at `end` had to: by the files, or by what was learned by then."""
        learned = self._learned(watch, end)
        align: Ms = watch.trigger.get("align", 0) if learned is None else learned.get("align", 0)
        return align

    def _grace(self, watch: Watch, end: Ms) -> Ms:
        """What is scraped so long after that window still belongs to it: about a quarter of the interval."""
        learned = self._learned(watch, end)
        return watch.interval // 64 * 16 if learned is not None and learned.get("targets") else 0

    def _learned(self, watch: Watch, end: Ms) -> Doc | None:
        trigger, found = watch.trigger, None
        if trigger.get("auto_align"):
            for learned in self._alignments.get(trigger["group"], ()):
                if learned["since"] < end and learned["interval"] == trigger["interval"]:
                    found = learned
        return found

    def _aligned(self, document: Doc) -> None:
        """W1: only between streaks, and no window of before reaches into those of after."""
        since = document["since"]
        for watch in self.watches.values():
            if watch.trigger["group"] == document["group"] and watch.windows:
                reaches = watch.newest + (0 if document["targets"] else self._grace(watch, watch.newest))
                self.book.demand("W1", reaches <= since, document["group"], "overlaps", watch.newest)
        self._alignments.setdefault(document["group"], []).append(document)
        for life in self.book.lives.values():
            counted = any(t["group"] == document["group"] for t in life.triggers.values())
            self.book.demand(
                "W1", life.ended is not None or not counted, life.id, "counts on windows that move"
            )

    def _anew(self, record: Booted | Died) -> None:
        """A new process begins with the skew unknown and every window to be asked."""
        if isinstance(record, Booted):
            self._skews[0] = record.steady
        for what in ("fire", "leave", "ended", "relapse", "judge"):
            self.book.dues.settle_all(what)
        for watch in self.watches.values():
            watch.missing.clear()
            watch.newest_asked = watch.steady = 0
            watch.silent = False
        self.nearly.clear()

    def _told(self, told: Told) -> None:
        book = self.book
        if told.skew is not None:
            self._skewed(told.steady, told.skew)
        definition = book.definitions.get(told.watch)
        if definition is None:
            return
        watch = self.watches.get(told.watch)
        if watch is None:
            watch = self.watches[told.watch] = Watch(definition[0])
        ahead = watch.newest > told.steady + (book.skew if told.skew is None else told.skew) + watch.interval
        if ahead and told.interval == watch.interval and told.ends[-1] + 2 * watch.interval < watch.newest:
            watch.windows.clear()  # Prometheus' clock was ahead: streaks begin anew (T2)
            watch.newest = 0
        watch.take(told, definition[1], partial(self._grace, watch))
        if watch.ends(told.ends, told.interval)[-1] == watch.newest_asked:
            watch.silent = unreachable(definition[1], told.answers)
        if definition[1] is definition[0]["condition"] and book.alive:
            self._look(watch, told)

    def _skewed(self, steady: Ms, skew: Ms) -> None:
        """What was judged a while ago was judged by another difference of the clocks."""
        book, skews = self.book, self._skews
        if skew == book.skew and len(skews) == 1:
            return
        skews[skew] = steady
        for known in [known for known, at in skews.items() if steady - at > SKEW_MATTERS]:
            del skews[known]
        book.skew = skew
        book.skew_slack = max(abs(known - skew) for known in skews)

    def _look(self, watch: Watch, told: Told) -> None:
        """Who has to fire, to be seen ending, or to leave, by this answer?"""
        trigger, book = watch.trigger, self.book
        newest = watch.windows[watch.newest][-1]
        certain = not watch.missing and watch.ends(told.ends, told.interval)[-1] == watch.newest
        name, current = trigger["name"], book.triggers.get(trigger["name"])
        configured = current is not None and current["fingerprint"] == trigger["fingerprint"]
        configured = configured and not book.finish_only
        for subject in newest.subjects():
            reading = newest.read(subject)
            if reading.verdict == "ok":
                book.dues.settle(("fire", name, subject))
                if certain:
                    self._well(watch, subject, configured)
            elif reading.verdict != "breach":
                book.dues.settle(("fire", name, subject))
            elif certain and configured:
                self._bad(watch, subject, told.steady)

    def _bad(self, watch: Watch, subject: str, steady: Ms) -> None:
        trigger, book = watch.trigger, self.book
        floor = book.floor(trigger, subject, over=True) + JITTER + book.skew_slack
        wanted: int = trigger["windows"]
        count, exact = watch.run(subject, floor, wanted + 1)
        before = watch.read(watch.newest - count * watch.interval, subject).verdict
        if exact and count == max(1, wanted - 1) and before != "breach":  # else its streak is older than that
            self.nearly[trigger["plan"]] = watch.newest, steady
        self._still(trigger["name"], subject, steady)
        if count < wanted or not self._may_fire(watch, subject, steady):
            return
        book.asserted["I1"] += 1
        book.dues.owe(("fire", trigger["name"], subject), steady + BRAKE_WAIT, "I1")

    def _may_fire(self, watch: Watch, subject: str, steady: Ms) -> bool:
        trigger, book = watch.trigger, self.book
        key = trigger["name"], subject
        if key in book.disarmed:
            self._again(key, steady)
        if key in book.disarmed or book.finish_only or book.frozen or trigger["name"] in book.first_pending:
            return False
        if trigger["plan"] not in book.plans or book.dues.owes(("fire", *key)):
            return False
        waiting = book.waiting(trigger["plan"], trigger.get("scope", ALL))
        crowded = waiting is not None and len(waiting.firings) >= 300
        if crowded or len(watch.windows[watch.newest][-1].values) > 300:
            return False
        age = steady + book.skew - watch.newest
        fresh: Ms = 2 * watch.interval + trigger.get("delay", 0)
        return age + 3_000 + book.skew_slack < fresh

    def _again(self, key: Subject, steady: Ms) -> None:
        """The same breach after its life ended is told of, once (W8)."""
        entry = self.book.disarmed[key]
        if entry.cause != "fired" or entry.relapsed or entry.end in QUIET or self.book.frozen:
            return
        if entry.end in ("vetoed", "expired") and entry.streak_ended is None:
            return  # a person said no to this very breach, or its ladder climbs for it still
        if not self.book.dues.owes(("relapse", *key)):
            self.book.dues.owe(("relapse", *key), steady, "W8")

    def _relapsed(self, document: Doc) -> None:
        self.book.dues.settle(("relapse", document["trigger"], document["subject"]))

    def _still(self, name: str, subject: str, steady: Ms) -> None:
        """A life whose wait is over goes on by this breach (D7)."""
        for life in self.book.lives.values():
            over = life.wait_over
            if over is None or life.held is not None or not life.automatic or life.ended is not None:
                continue
            if life.state == "waiting_approval":
                continue  # for a person, not for a window
            key, trigger = (name, subject), life.triggers.get(name)
            known = trigger is not None and trigger == self.book.triggers.get(name)
            present = key in life.firings and key not in life.left
            if known and present and steady > over and not self.book.dues.owes(("judge", life.id)):
                self.book.dues.owe(("judge", life.id), steady, "D7")

    def _went_on(self, document: Doc) -> None:
        self.book.dues.settle(("judge", document["life"]))
        if document["kind"] == "rollback_began":
            self._began(document)
        elif document["kind"] == "subject_left":
            self._left(document)

    def _rollout_began(self, document: Doc) -> None:
        self._forgive(document)
        for trigger in self.book.triggers.values():
            watch = self.watch(trigger)
            if (
                trigger["plan"] != document["plan"]
                or trigger.get("arm", "rollout") != "rollout"
                or watch is None
            ):
                continue
            if watch.missing or not watch.steady or document["at"] - watch.steady < QUEUED:
                continue
            for subject in watch.windows[watch.newest][-1].subjects():
                floor = self.book.floor(trigger, subject) + JITTER + self.book.skew_slack
                if watch.run(subject, floor, 1)[0]:
                    self._standing.append((trigger["name"], subject))

    def _well(self, watch: Watch, subject: str, configured: bool) -> None:
        """An `ok` ends the streak of a disarmed subject (W8), and lets it leave a waiting life (D10)."""
        book, trigger = self.book, watch.trigger
        key = trigger["name"], subject
        entry = book.disarmed.get(key)
        if entry is None or book.frozen:
            return
        later = watch.newest > entry.since(book.skew) + book.skew_slack + JITTER
        if configured and entry.cause == "fired" and later and entry.streak_ended is None:
            book.dues.owe(("ended", *key), book.now, "W8")
        life = book.lives.get(entry.life or "")
        if life is None or not life.waits() or key not in life.firings or key in life.left:
            return
        if life.triggers[key[0]]["fingerprint"] != trigger["fingerprint"]:
            return
        if watch.newest > life.firings[key]["end"]:
            book.dues.owe(("leave", life.id, *key), book.now, "D10")

    def _disarmed(self, document: Doc) -> None:
        self.book.dues.settle(("fire", document["trigger"], document["subject"]))

    def _recounted(self, document: Doc) -> None:
        for what in ("fire", "relapse"):
            self.book.dues.settle_all(what, document["trigger"])

    def _forgive(self, _: Doc) -> None:
        """What counts, and from when, is another matter from here on."""
        for what in ("fire", "ended", "relapse", "judge"):
            self.book.dues.settle_all(what)

    def _left(self, document: Doc) -> None:
        book = self.book
        life = book.lives.get(document["life"])
        key = document["trigger"], document["subject"]
        book.dues.settle(("leave", document["life"], *key))
        if life is None:
            return
        book.demand("D10", life.waits() or life.wait == "refused", life.id, "does not wait, and", key, "left")
        book.demand("D10", key in life.firings and key not in life.left, key, "was not there to leave")
        watch = self.watch(life.triggers[key[0]])
        said = [] if watch is None else watch.possible(document["end"], key[1])
        book.demand("D7", any(r.verdict == "ok" for r in said), key, "left without an ok at", document["end"])
        book.demand("D7", document["end"] > life.firings[key]["end"], key, "left by an older window")

    # Firing

    def _opened(self, document: Doc) -> None:
        if document["by"] != AUTOMATIC:
            return
        book = self.book
        firings = document.get("firings", [])
        book.demand("D4", bool(firings), document["life"], "opened without a subject")
        for found in firings:
            self._fired(document["at"], found, document["triggers"][found["trigger"]])

    def _joined(self, document: Doc) -> None:
        self._fired(document["at"], document["firing"], document["definition"])

    def _fired(self, at: Ms, found: Doc, trigger: Doc) -> None:
        book, name, subject = self.book, found["trigger"], found["subject"]
        book.demand("W8", (name, subject) not in book.disarmed, name, subject, "fired while disarmed")
        book.demand("W13", name not in book.first_pending, name, "fired before its first window was judged")
        age = at + book.skew - found["end"]
        fresh = 2 * trigger["interval"] + trigger.get("delay", 0) + book.skew_slack + JITTER
        book.demand("W7", age < fresh, name, subject, "fired", age, "ms after its last window")
        floor = book.floor(trigger, subject) - JITTER - book.skew_slack
        book.demand("I8", found["began"] >= floor, name, subject, "counts a window from before", floor)
        self._evidence(found, trigger)
        self._last(at, found, trigger)
        self._stood(found, trigger)

    def _stood(self, found: Doc, trigger: Doc) -> None:
        """W9: it did not breach as the rollout began, or was ok since; also where that was told later."""
        book, watch = self.book, self.watch(trigger)
        rollout = book.open_rollout(trigger["plan"]) if trigger.get("arm", "rollout") == "rollout" else None
        if rollout is None or watch is None or book.skew_slack:
            return
        began, subject = rollout["at"] + book.skew, found["subject"]
        armed = book.armed_since.get((trigger["name"], subject), 0)
        counted = max(book.counting[trigger["name"]]["since"], armed) + book.skew + JITTER
        for end in watch.windows:
            before = began - watch.interval + JITTER < end <= began - JITTER
            if not before or end - watch.interval < counted or armed > rollout["at"]:
                continue
            stood = watch.read(end, subject).verdict == "breach"
            well = any(
                r.verdict == "ok" for e in watch.windows if e > end for r in watch.possible(e, subject)
            )
            book.demand("W9", not stood or well, trigger["name"], subject, "fired, and stood at", end)

    def _last(self, at: Ms, found: Doc, trigger: Doc) -> None:
        """The window that fires is a breach that counts; one more may be judged in the brake's wait."""
        watch, windows = self.watch(trigger), found["windows"]
        if windows[-1]["end"] == found["end"] or watch is None:
            return
        told = max((w.steady for w in watch.windows.get(windows[-1]["end"], ())), default=0)
        ripe = max((w.steady for w in watch.windows.get(found["end"], ())), default=0)
        waited = told - ripe <= BRAKE_WAIT + JITTER or at - ripe <= BRAKE_WAIT + JITTER
        self.book.demand("W5", waited, trigger["name"], found["subject"], "fired by a kept window")

    def _began(self, document: Doc) -> None:
        life = self.book.lives.get(document["life"])
        for found in document.get("firings", []):
            key = found["trigger"], found["subject"]
            before = life.firings.get(key) if life is not None else None
            self.book.demand("D10", before is not None, document["life"], "begins with a stranger", key)
            if before is not None and found["end"] != before["end"]:
                self.book.demand("I8", found["end"] > before["end"], key, "goes on by older windows")
                self._evidence(found, document["triggers"][key[0]], began=True)

    def _evidence(self, found: Doc, trigger: Doc, *, began: bool = False) -> None:
        book, windows, interval = self.book, found["windows"], trigger["interval"]
        who = f"{found['trigger']}{{{found['subject']}}}"
        ends = [seen["end"] for seen in windows]
        book.demand("I16", 0 < len(windows) <= EVIDENCE, who, "keeps", len(windows), "windows")
        apart = [two - one for one, two in pairwise(ends)]
        # Windows inside a rollout's delay count for nobody, and are no evidence (W9).
        spaced = all(
            gap == interval or (trigger.get("initial_delay") and gap % interval == 0) for gap in apart
        )
        book.demand("W1", spaced, who, "rests on windows that do not follow each other:", ends)
        judged = [self._counts(found["subject"], trigger, seen) for seen in windows]
        sure = [seen["end"] for seen, how in zip(windows, judged, strict=True) if how == {True}]
        counted = [seen["end"] for seen, how in zip(windows, judged, strict=True) if True in how]
        if len(windows) < EVIDENCE:
            holds = len(sure) <= found["streak"] <= len(counted)
            book.demand("W4", holds, who, "counts", found["streak"], "of", windows)
            first = bool(counted) and found["began"] == ends[0] - interval == counted[0] - interval
            book.demand("W4", first, who, "did not begin with a breach at", found["began"])
            book.demand("W5", len(windows) - len(counted) <= trigger["windows"], who, "kept too many windows")
        if not began:
            book.demand("W4", found["streak"] >= trigger["windows"], who, "fired after", found["streak"])
        last = found["end"] in counted and max(sure, default=0) <= found["end"]
        book.demand("I8", last, who, "does not end with a breach")
        for seen in windows:
            self._agrees(who, found["subject"], trigger, seen)

    def _counts(self, subject: str, trigger: Doc, seen: Doc) -> set[bool]:
        """Whether that window may count as a breach, by its verdict, or by what `no_data` makes of it."""
        if seen["verdict"] not in ("no_data", "unknown"):
            return {seen["verdict"] == "breach"}
        watch = self.watch(trigger)
        said = [] if watch is None else watch.possible(seen["end"], subject)
        hows = {reading.counts for reading in said if reading.verdict == seen["verdict"]}
        if not all(reading.verdict for reading in said) or not hows:
            hows.add(unheard(trigger["condition"]).counts)
        return {(how or trigger.get("no_data", "keep")) == "breach" for how in hows}

    def _agrees(self, who: str, subject: str, trigger: Doc, seen: Doc) -> None:
        """The evidence says what Prometheus said."""
        watch = self.watch(trigger)
        said = [] if watch is None else watch.possible(seen["end"], subject)
        verdict = seen["verdict"]
        told = [] if watch is None else watch.readings(seen["end"], subject)
        if verdict == "no_data" and (not said or any(reading.verdict == "no_data" for reading in told)):
            return
        if verdict == "no_data" and UNHEARD in told:
            passed = watch is not None and self._passed_over(watch, seen["end"], told)
            self.book.demand(
                "W14", not passed, who, "has no data at", seen["end"], "but a late sample:", told
            )
            return
        if verdict != "breach":
            agrees = any(reading.verdict == verdict for reading in said)
        else:
            agrees = any(r.verdict == "breach" and r.value == seen.get("value") for r in said)
        self.book.demand("I8", agrees, who, "saw", seen, "where Prometheus told", said)

    def _passed_over(self, watch: Watch, end: Ms, said: list[Reading]) -> bool:
        """Whether an aligned window was given up though a sample was told, or not looked for to the last."""
        if not self._grace(watch, end):
            return False
        told = watch.windows[end]
        sought = any(len(window.later) == 16 or window.failure for window in told)
        return any(reading.verdict for reading in said) or not sought

    # For the other nouns

    def breached_since(self, trigger: Doc, subject: str, steady: Ms) -> bool:
        """Whether a window told since says breach, or is one by the trigger's `no_data`."""
        watch = self.watch(trigger)
        if watch is None:
            return False
        said = watch.since(steady, subject)
        if any(reading.verdict == "breach" for reading in said):
            return True
        return _may_be_missed(trigger) and any(r.verdict != "ok" for r in said)

    def breaches_since(self, trigger: Doc, subject: str) -> int:
        """How many windows that count may be breaches."""
        watch = self.watch(trigger)
        if watch is None:
            return 0
        bad = {"breach", "no_data", "unknown", ""} if _may_be_missed(trigger) else {"breach"}
        floor = self.book.floor(trigger, subject) - JITTER - self.book.skew_slack + watch.interval
        ends = [end for end in watch.windows if end >= floor]
        return sum(any(r.verdict in bad for r in watch.possible(end, subject)) for end in ends)

    def last_breach(self, trigger: Doc, subject: str) -> Ms:
        """The end of the newest window that may count as a breach."""
        watch = self.watch(trigger)
        if watch is None:
            return 0
        bad = {"breach", "no_data", "unknown", ""} if _may_be_missed(trigger) else {"breach"}
        for end in sorted(watch.windows, reverse=True):
            if any(reading.verdict in bad for reading in watch.possible(end, subject)):
                return end
        return 0

    def newest_ok(self, trigger: Doc, subject: str) -> bool:
        """Whether the newest window certainly says ok."""
        watch = self.watch(trigger)
        return watch is not None and not watch.missing and watch.read(watch.newest, subject).verdict == "ok"

    def settled_for(self, life: Life, at: Ms) -> bool:
        """Whether every answer about its subjects was there long before, so that it was judged."""
        watches = [self.watch(life.triggers[key[0]]) for key in life.present()]
        return all(watch is not None and at - watch.steady > QUEUED for watch in watches)


def _may_be_missed(trigger: Doc) -> bool:
    """Whether a window without data may count as a breach (W5, W10)."""
    own = (leaf.get("no_data") for leaf in leaves(trigger["condition"]))
    return trigger.get("no_data", "keep") == "breach" or "breach" in own

# SPDX-License-Identifier: MIT
"""What the producers say they did (producer.c), against what a snapshot says."""

import collections
import dataclasses
import mmap
import os

VALUES = 60
WORDS = 64  # of an entry, and of the head
RUN, PAUSE, END = range(3)
UNUSED, OPENING, OPEN, CLOSING, CLOSED, REFUSED = range(6)


def value_number(attempt):
    return ((attempt * 2654435761 % 2**64) >> 7) % VALUES


def value(number):
    return number ** 3


def bucket(sample):
    """The i of (2^((i-1)/32), 2^(i/32)], without rounding; None for 0."""
    return (sample ** 32 - 1).bit_length() if sample else None


BUCKETS = [bucket(value(i)) for i in range(VALUES)]


def buckets_of(timer):
    """A snapshot's histogram as a map."""
    shown = timer.get("histogram", {"offset": 0, "buckets": [], "zero_count": 0})
    found = {shown["offset"] + i: n for i, n in enumerate(shown["buckets"]) if n}
    if shown["zero_count"]:
        found[None] = shown["zero_count"]
    return found


@dataclasses.dataclass
class Account:
    """Of one session, or of several."""

    values: list = dataclasses.field(default_factory=lambda: [0] * VALUES)
    dropped: int = 0
    counted: int = 0
    outcomes: collections.Counter = dataclasses.field(default_factory=collections.Counter)

    def add(self, other):
        self.values = [a + b for a, b in zip(self.values, other.values)]
        self.dropped += other.dropped
        self.counted += other.counted
        self.outcomes += other.outcomes

    @property
    def recorded(self):
        return sum(self.values)

    def timer(self):
        """What a snapshot must say of the timer, but for what cannot be exact."""
        buckets = collections.Counter()
        for i, count in enumerate(self.values):
            if count:
                buckets[BUCKETS[i]] += count
        seen = [value(i) for i, count in enumerate(self.values) if count]
        expected = {"count": self.recorded, "buckets": dict(buckets)}
        if seen:
            expected.update(sum=sum(value(i) * n for i, n in enumerate(self.values)),
                            min=min(seen), max=max(seen))
        return expected

    def differences(self, holder):
        """Of the metrics of a session or of the totals."""
        metrics = {metric["name"]: metric for metric in holder["metrics"]}
        timer = metrics.get("value", {"count": 0})
        shown = {key: timer[key] for key in ("count", "sum", "min", "max") if key in timer}
        shown["buckets"] = buckets_of(timer)
        expected = self.timer()
        found = [f"{key} is {shown.get(key)}, the ledger has {expected.get(key)}"
                 for key in {**shown, **expected} if shown.get(key) != expected.get(key)]
        done = metrics.get("done", {}).get("value", 0)
        if done != self.counted:
            found.append(f"the counter is {done}, the ledger has {self.counted}")
        return found


class Entry:
    """One session of a ledger, as it is now."""

    def __init__(self, identity, words, dead):
        self.id = identity
        self.dead = dead
        self.state, self.attempted, self.dropped, self.counted, *self.values = words

    def outcomes(self):
        """The states in which a snapshot may show it; None: not at all."""
        if self.state in (UNUSED, REFUSED):
            return (None,)
        if self.state == CLOSED:
            return ("ended",)
        if not self.dead:
            return ("running", "stale")
        return {OPENING: (None, "lost"), OPEN: ("lost",), CLOSING: ("ended", "lost")}[self.state]

    def settle(self, session):
        """The account as the session proves it, and how the session contradicts it. What a killed
        producer's writer had under way, one sample and one count, may have been done or not."""
        account = Account(list(self.values), self.dropped, self.counted)
        state = session["state"] if session else None
        found = []
        if state not in self.outcomes():
            found.append(f"is {state or 'not there'}, not {' or '.join(map(str, self.outcomes()))}")
        if session is None:
            return account, found
        account.outcomes[state if state in ("ended", "lost") else "active"] += 1
        writers = session["writers"]
        aggregated = sum(writer["aggregated"] for writer in writers)
        dropped = sum(sum(writer["dropped"].values()) for writer in writers)
        in_flight = self.attempted - account.recorded - self.dropped
        if in_flight not in ((0, 1) if self.dead else (0,)):
            found.append(f"{in_flight} attempts in flight")
        elif in_flight and aggregated == account.recorded + 1:
            account.values[value_number(self.attempted)] += 1
        elif in_flight and dropped == self.dropped + 1:
            account.dropped += 1
        if self.dead and self.counted < self.attempted and \
                any(m.get("value") == self.attempted for m in session["metrics"]
                    if m["name"] == "done"):
            account.counted = self.attempted
        for what, shown, expected in (
                ("aggregated", aggregated, account.recorded),
                ("aggregated_total", session["aggregated_total"], account.recorded),
                ("dropped", dropped, account.dropped),
                ("overflow", session["overflow_total"], 0),
                ("used", sum(writer["used"] for writer in writers), 0),
                ("quarantined (before)", sum(writer["before"] for writer in writers), 0)):
            if shown != expected:
                found.append(f"{what} is {shown}, the ledger has {expected}")
        return account, found + account.differences(session)


class Ledger:
    """The file of one producer."""

    def __init__(self, path, name, entries):
        self.path = path
        self.name = name
        self.entry_count = entries
        self.dead = False
        with open(path, "w+b") as file:
            file.truncate((entries + 1) * WORDS * 8)
            self.map = mmap.mmap(file.fileno(), 0)
        self.words = memoryview(self.map).cast("Q")

    def command(self, command):
        self.words[0] = command

    @property
    def paused(self):
        return self.words[1] == 1

    def entries(self):
        for i in range(self.entry_count):
            words = self.words[(i + 1) * WORDS:(i + 2) * WORDS].tolist()
            if words[0] != UNUSED:
                yield Entry(f"{self.name}-{i}", words, self.dead)

    def close(self):
        self.words.release()
        self.map.close()
        os.unlink(self.path)


class Book:
    """All ledgers: those of producers that live or died lately, and the sum of the others."""

    def __init__(self):
        self.ledgers = []
        self.retired = Account()

    def totals(self, snapshot):
        """The sum of all accounts, and what contradicts them."""
        sessions = {session["id"]: session for session in snapshot["sessions"]}
        total = Account()
        total.add(self.retired)
        found = []
        for ledger in self.ledgers:
            for entry in ledger.entries():
                account, differences = entry.settle(sessions.get(entry.id))
                total.add(account)
                found += [f"session {entry.id}: {difference}" for difference in differences]
        return total, found

    def differences(self, snapshot):
        total, found = self.totals(snapshot)
        totals, agent = snapshot["totals"], snapshot["agent"]
        for what, shown, expected in (
                ("samples_total", agent["samples_total"], total.recorded),
                ("agent's dropped_total", agent["dropped_total"], total.dropped),
                ("dropped_total", totals["dropped_total"], total.dropped),
                ("overflow_total", totals["overflow_total"], 0),
                ("sessions_total", totals["sessions_total"], sum(total.outcomes.values())),
                ("sessions_active", totals["sessions_active"], total.outcomes["active"]),
                ("sessions_ended", totals["sessions_ended"], total.outcomes["ended"]),
                ("sessions_lost", totals["sessions_lost"], total.outcomes["lost"])):
            if shown != expected:
                found.append(f"totals: {what} is {shown}, the ledgers have {expected}")
        return found + [f"totals: {difference}" for difference in total.differences(totals)]

    def impossible(self, snapshot):
        """What no snapshot may say while producers record: more than was attempted."""
        attempted = {entry.id: entry.attempted for ledger in self.ledgers
                     for entry in ledger.entries()}
        found = []
        for session in snapshot["sessions"]:
            taken = session["aggregated_total"] + session["dropped_total"]
            if taken > attempted.get(session["id"], taken):
                found.append(f"session {session['id']}: {taken} aggregated and dropped, "
                             f"{attempted[session['id']]} attempted")
        return found

    def retire(self, snapshot):
        """Adds the ledgers of the dead to the sum, after a snapshot without differences."""
        sessions = {session["id"]: session for session in snapshot["sessions"]}
        for ledger in [ledger for ledger in self.ledgers if ledger.dead]:
            for entry in ledger.entries():
                self.retired.add(entry.settle(sessions.get(entry.id))[0])
            self.ledgers.remove(ledger)
            ledger.close()


class PassingBook(Book):
    """Sessions leave soon: those of the dead are settled one producer after the other."""

    def __init__(self):
        super().__init__()
        self.unsure = 0  # killed while they opened: they were a session, or not
        self.unsure_ids = set()
        self.settled = {}  # the accounts of the others, by session

    def settle_dead(self, snapshot):
        """Adds to the sum what the snapshot proves; says what it does not prove yet."""
        sessions = {session["id"]: session for session in snapshot["sessions"]}
        found = []
        for ledger in [ledger for ledger in self.ledgers if ledger.dead]:
            account = Account()
            missing = []
            unsure = set()
            accounts = {}
            for entry in ledger.entries():
                if entry.state == OPENING:
                    unsure.add(entry.id)
                    continue
                if entry.state == CLOSED:  # nothing is open about it
                    settled = Account(entry.values, entry.dropped, entry.counted)
                    settled.outcomes["ended"] = 1
                else:
                    settled, differences = entry.settle(sessions.get(entry.id))
                    missing += [f"session {entry.id}: {what}" for what in differences]
                account.add(settled)
                if settled.outcomes:  # it was refused otherwise
                    accounts[entry.id] = settled
            found += missing
            if not missing:
                self.unsure += len(unsure)
                self.unsure_ids |= unsure
                self.settled.update(accounts)
                self.retired.add(account)
                self.ledgers.remove(ledger)
                ledger.close()
        return found

    def differences(self, snapshot):
        """Of the totals, when nobody is there. Who was killed while it opened counts as lost, if
        the agent ever saw it."""
        lost = snapshot["totals"]["sessions_lost"] - self.retired.outcomes["lost"]
        seen = max(0, min(self.unsure, lost))
        self.unsure -= seen
        self.retired.outcomes["lost"] += seen
        return super().differences(snapshot)

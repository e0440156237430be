# SPDX-License-Identifier: MIT
"""What `shmbus log` writes while sessions come and go, against the producers' ledgers."""

import collections
import json
import os
import signal

from harness import Failed


class Lines:
    """One log beside the agent, from before the first session to after the last."""

    def __init__(self, harness):
        self.harness = harness
        self.path = f"{harness.directory}/log.jsonl"
        self.said = open(f"{harness.directory}/log.stderr", "w+", encoding="utf-8")
        self.process = harness.spawn_log(self.path, self.said)
        self.offset = 0
        self.seen = set()  # the ids of all sessions that have a record
        self.open = {}  # records that no ledger was held against yet, by id
        self.sums = collections.Counter()  # over all intervals
        self.events = collections.Counter()
        harness.wait_for(lambda: os.path.exists(self.path) and self.read() and
                         self.events["start"], "the log to begin")

    # ---- reading ----

    def read(self):
        """Takes the lines that are new; True."""
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # it is being written
                self.offset += len(line)
                self.take(line)
        return True

    def take(self, line):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise self.failed(f"a line is no JSON: {error}: {line[:200]}") from error
        event = record["event"]
        self.events[event] += 1
        if event == "gap":
            raise self.failed(f"the log has a gap: {record}")
        if event == "session":
            name = record["id"]
            self.harness.expect(name not in self.seen, f"a second record of session {name}")
            self.seen.add(name)
            self.open[name] = record
        elif event == "interval":
            for key in ("samples", "dropped", "sessions_finished", "write_failures"):
                self.sums[key] += record.get(key, 0)

    def failed(self, what):
        self.said.flush()
        with open(self.said.name, encoding="utf-8", errors="replace") as file:
            return Failed(f"{what}\nthe log said:\n{file.read()[-2000:]}")

    # ---- comparing ----

    def settle(self, book):
        """While nobody records: every session that was has its record, and what it says is what its
        producer says, to the unit."""
        accounts, book.settled = book.settled, {}
        self.harness.wait_for(lambda: self.read() and accounts.keys() <= self.open.keys(),
                              "a line of the log for each session")
        found = []
        for name, account in accounts.items():
            found += [f"line of session {name}: {what}"
                      for what in differences(self.open.pop(name), account)]
        # Killed while it opened: it may have been a session, without a sample.
        for name in self.open.keys() & book.unsure_ids:
            record = self.open.pop(name)
            if (record["state"], record["aggregated_total"], record["dropped_total"]) != \
                    ("lost", 0, 0):
                found.append(f"line of session {name}: it never opened, and is {record}")
        found += [f"a line of session {name}, of which no ledger knows" for name in self.open]
        self.harness.expect(not found, "\n".join(found))
        self.harness.expect(self.process.poll() is None,
                            f"the log ended by itself, with status {self.process.returncode}")

    def rotate(self):
        """As logrotate does it. What was written until then is read to its end."""
        old = f"{self.path}.old"
        os.rename(self.path, old)
        self.process.send_signal(signal.SIGHUP)
        self.harness.wait_for(lambda: os.path.exists(self.path), "the log's new file")
        path, self.path = self.path, old
        self.read()
        self.path, self.offset = path, 0
        os.unlink(old)

    def end(self, book):
        """The intervals add up to all that there was."""
        self.process.terminate()
        self.harness.expect(self.process.wait(60) == 0,
                            f"the log's exit status is {self.process.returncode}")
        self.read()
        self.settle_sums(book.retired)
        self.said.close()

    def settle_sums(self, total):
        sessions = sum(total.outcomes.values())
        found = [f"{what} {shown}, the ledgers have {expected}" for what, shown, expected in (
            ("samples of all intervals are", self.sums["samples"], total.recorded),
            ("drops of all intervals are", self.sums["dropped"], total.dropped),
            ("sessions_finished of all intervals are", self.sums["sessions_finished"], sessions),
            ("lines of sessions are", len(self.seen), sessions),
            ("failed writes are", self.sums["write_failures"], 0),
            ("lines of the log's end are", self.events["end"], 1)) if shown != expected]
        self.harness.expect(not found, "\n".join(found))


def differences(record, account):
    """Of a record and an account of one session. A record has no buckets."""
    metrics = {metric["name"]: metric for metric in record["metrics"]}
    timer, expected = metrics.get("value", {"count": 0}), account.timer()
    del expected["buckets"]
    shown = {key: timer[key] for key in ("count", "sum", "min", "max") if key in timer}
    (state,) = account.outcomes
    found = []
    for what, got, wanted in (
            ("state", record["state"], state),
            ("the timer", shown, expected),
            ("the counter", metrics.get("done", {}).get("value", 0), account.counted),
            ("aggregated_total", record["aggregated_total"], account.recorded),
            ("dropped_total", record["dropped_total"], account.dropped),
            ("overflow_total", record["overflow_total"], 0)):
        if got != wanted:
            found.append(f"{what} is {got}, the ledger has {wanted}")
    return found

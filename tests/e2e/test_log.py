# SPDX-License-Identifier: MIT
"""shmbus log: every session that is over has one record, with the numbers that it had."""

import glob
import json
import os
import signal
import subprocess
import unittest

from bus import metric, total
from logs import Logs, run_log


class Sessions(Logs):
    def test_to_the_unit(self):
        """A record says what the producer says of itself, drops included."""
        self.agent("--drain", "1s")
        self.file_log()
        reports = {}
        for i in range(4):
            producer = self.producer("--id", f"p{i}", "--count", f"{3000 + i}", "--writers", "3",
                                     "--ring", "1024")
            reports[f"p{i}"] = self.report(producer)["writers"]
            self.assertEqual(producer.wait(timeout=20), 0)
        dropped = 0
        for record in self.wait_records(4, event="session"):
            writers = reports.pop(record["id"])
            self.assertEqual(
                [(w["recorded"], w["aggregated"], sum(w["dropped"].values()), w["used"])
                 for w in record["writers"]],
                [(w["recorded"], w["recorded"], w["dropped"], 0) for w in writers])
            self.assertEqual(record["aggregated_total"], sum(w["recorded"] for w in writers))
            self.assertEqual(record["dropped_total"], sum(w["dropped"] for w in writers))
            self.assertEqual(metric(record, "value")["count"], record["aggregated_total"])
            self.assertEqual(metric(record, "done")["value"],
                             sum(w["attempted"] for w in writers))
            dropped += record["dropped_total"]
        self.assertEqual(reports, {})
        self.assertGreater(dropped, 0, "the rings were large enough: nothing is shown")

    def test_record(self):
        """It is what the snapshot has, but for the buckets."""
        self.agent()
        self.file_log()
        producer = self.producer("--id", "x", "--count", "1000", "--every", "--relabel")
        self.report(producer)
        self.assertEqual(producer.wait(timeout=20), 0)
        (record,) = self.wait_records(1, event="session")
        session = self.session("x")
        for key in ("id", "service", "segment", "labels", "pid", "uid", "incarnation", "state",
                    "start_time_unix_ns", "end_time_unix_ns", "aggregated_total", "dropped_total",
                    "overflow_total", "writers", "derived"):
            self.assertEqual(record[key], session[key], key)
        self.assertEqual(record["state"], "ended")
        self.assertEqual(record["labels"], {"attempt_id": "second"})
        self.assertEqual(record["duration_ns"],
                         record["end_time_unix_ns"] - record["start_time_unix_ns"])
        self.assertEqual(record["targets"], {"met": [], "missed": ["value", "stage.time"]})
        self.assertEqual(len(record["metrics"]), len(session["metrics"]))
        for got, known in zip(record["metrics"], session["metrics"]):
            for key in ("histogram", "help", "states"):
                known.pop(key, None)
            self.assertEqual(got, known)
        self.assertIn("p99", metric(record, "value")["quantiles"])
        self.assertIn("misses", metric(record, "cycle")["period"])

    def test_lost(self):
        self.agent()
        self.file_log()
        producer = self.producer("--id", "dies", "--count", "123", "--hold")
        self.report(producer)
        producer.kill()
        (record,) = self.wait_records(1, event="session")
        self.assertEqual((record["id"], record["state"], record["aggregated_total"]),
                         ("dies", "lost", 123))

    def test_before(self):
        """What was over when the log began, and is still known."""
        self.agent()
        self.short(3)
        self.wait_for(lambda: self.snapshot()["totals"]["sessions_ended"] == 3, "their ends")
        self.file_log()
        self.wait_records(3, event="session")
        self.assertEqual(self.records(event="gap"), [])

    def test_no_ttl(self):
        """Sessions that stay in one snapshot after their end."""
        self.agent("--ttl", "0s")
        log = self.file_log()
        for _ in range(5):
            self.short(4)
        self.wait_for(lambda: (s := self.snapshot()) and s["totals"]["sessions_ended"] == 20 and
                      s["sessions"] == [], "the sessions to leave")
        unseen = lambda: sum(r["sessions_unseen"] for r in self.records(event="gap"))
        self.wait_for(lambda: len(self.records(event="session")) + unseen() == 20, "the account")
        self.ended(log)

    def test_unseen(self):
        """A log that could not read states how many it missed."""
        self.agent("--ttl", "0s")
        log = self.file_log("--interval", "0.1")
        self.suspend(log)
        self.short(7)
        self.wait_for(lambda: (s := self.snapshot()) and s["totals"]["sessions_ended"] == 7 and
                      s["sessions"] == [], "the sessions to leave")
        log.send_signal(signal.SIGCONT)
        (gap,) = self.wait_records(1, event="gap")
        self.assertEqual((gap["what"], gap["sessions_unseen"]), ("sessions", 7))
        self.assertEqual(self.records(event="session"), [])
        self.wait_for(lambda: sum(r["sessions_finished"] for r in
                                  self.records(event="interval")) == 7, "the interval's count")

    def test_hostile_names(self):
        """Whatever a producer calls itself, a line is JSON and one line."""
        self.agent()
        log = self.file_log("--every", "1")
        producer = self.producer("--id", "a\"b\\c\u00e9 x", "--count", "5")
        self.report(producer)
        (record,) = self.wait_records(1, event="session")
        self.assertEqual(record["id"], "a\"b\\c\u00e9 x")
        self.ended(log)
        self.assertEqual(self.content(self.path).count("\n"), len(self.records()))


class Restarts(Logs):
    def test_log(self):
        """However it ended, the next log on the same file repeats nothing and leaves out nothing."""
        self.agent()
        for how in (signal.SIGTERM, signal.SIGKILL, signal.SIGKILL):
            log = self.file_log()
            self.short(5)
            self.wait_for(lambda: len(self.records(event="session")) % 5 == 0, "five more")
            self.stop(log, how)
        self.short(5)
        self.file_log()
        records = self.wait_records(20, event="session")
        self.short(1)
        records = self.wait_records(21, event="session")
        self.assertEqual(len({r["segment"] for r in records}), 21)
        self.assertEqual(len(records), 21)
        self.assertEqual(self.records(event="gap"), [])

    def test_log_after_move(self):
        """The file was moved away, and the log is another one: FILE.state knows."""
        self.agent()
        log = self.file_log()
        self.short(3)
        self.wait_records(3, event="session")
        self.ended(log)
        os.rename(self.path, f"{self.path}.old")
        self.file_log()
        self.short(1)
        self.wait_records(1, event="session")
        self.wait_for(lambda: self.snapshot()["totals"]["sessions_ended"] == 4, "the end")
        self.assertEqual(len(self.records(event="session")), 1)

    def test_unseen_between_logs(self):
        """Sessions that came and left while no log ran are stated by the next one."""
        self.agent("--ttl", "0s")
        self.ended(self.file_log())
        self.short(3)
        self.wait_for(lambda: (s := self.snapshot()) and s["totals"]["sessions_ended"] == 3 and
                      s["sessions"] == [], "the sessions to leave")
        for _ in range(2):
            self.ended(self.file_log())
        (gap,) = self.records(event="gap")
        self.assertEqual((gap["what"], gap["sessions_unseen"]), ("sessions", 3))

    def test_anew(self):
        """Without --append the file begins anew, with all that is known."""
        self.agent()
        log = self.file_log()
        self.short(3)
        self.wait_records(3, event="session")
        self.ended(log)
        first = self.records()[0]
        log = self.log("--file", self.path)
        self.wait_for(lambda: (r := self.records()) and r[0] != first and len(r) == 4,
                      "the sessions once more")
        self.ended(log)
        self.assertEqual([r["event"] for r in self.records()],
                         ["start"] + 3 * ["session"] + ["interval", "end"])

    def test_agent(self):
        """An agent that is killed and comes again: sessions are neither repeated nor left out."""
        agent = self.agent()
        log = self.file_log()
        self.short(5)
        held = self.producer("--id", "held", "--count", "50", "--hold")
        self.report(held)
        self.wait_records(5, event="session")
        self.stop(agent, signal.SIGKILL)
        self.wait_records(1, event="agent", agent_state="gone")
        self.short(5)
        self.agent()
        held.stdin.close()
        self.wait_records(11, event="session")
        self.wait_records(1, event="agent", agent_state="running")
        said = self.ended(log)
        records = self.records(event="session")
        self.assertEqual(len({r["segment"] for r in records}), 11)
        self.assertEqual(len(records), 11)
        self.assertEqual(self.records(event="gap"), [])
        self.assertEqual(said.count("no agent is running"), 1)
        self.assertEqual(said.count("publishes again"), 1)
        last = self.records(event="agent")[-1]
        self.assertEqual(last["agent"]["incarnation"], 2)

    def test_no_agent(self):
        log = self.log("--file", self.path, "--interval", "0.1")
        self.wait_records(2, event="interval", agent_state="missing")
        self.agent()
        self.short(1)
        self.wait_records(1, event="session")
        said = self.ended(log)
        self.assertEqual(said.count(f"start one with 'shmbus-agent --bus {self.bus}'"), 1)
        self.assertEqual(self.records()[0]["agent_state"], "missing")
        self.assertNotIn("totals", self.records(event="interval")[0])

    def test_stopped_agent(self):
        agent = self.agent()
        log = self.file_log()
        self.suspend(agent)
        self.wait_records(1, event="agent", agent_state="stale")
        agent.send_signal(signal.SIGCONT)
        self.wait_records(1, event="agent", agent_state="running")
        self.assertIn("stopped or starved", self.ended(log))

    def test_torn_record(self):
        """Of a record that was cut short nothing stays; a line of another program is ended."""
        self.agent()
        self.short(2)
        self.wait_for(lambda: self.snapshot()["totals"]["sessions_ended"] == 2, "their ends")
        log = self.file_log()
        self.wait_records(2, event="session")
        self.stop(log, signal.SIGKILL)
        whole = self.content(self.path)
        lines = whole.splitlines(True)
        at = max(i for i, line in enumerate(lines) if '"session"' in line)
        for torn in (lines[at][:-1], lines[at][:5]):
            for path in glob.glob(f"{self.path}*"):
                os.unlink(path)
            with open(self.path, "w", encoding="utf-8") as file:
                file.write("".join(lines[:at]) + torn)
            log = self.file_log()
            self.wait_records(2, event="session")
            self.assertIn("the last record was cut short", self.ended(log))
            self.assertEqual(len({r["segment"] for r in self.records(event="session")}), 2)
            self.assertEqual(len(self.records(event="session")), 2)
        with open(self.path, "w", encoding="utf-8") as file:
            file.write("of another program")
        log = self.log("--file", self.path, "--append")
        self.wait_for(lambda: "\n{" in self.content(self.path), "the log to begin")
        self.ended(log)
        self.assertEqual(self.content(self.path).splitlines()[0], "of another program")


class Files(Logs):
    def test_rotation(self):
        self.agent()
        log = self.file_log("--rotate-size", "16K", "--rotate-keep", "30")
        self.short(40)
        paths = lambda: [self.path, *glob.glob(f"{self.path}.*[0-9]")]
        ids = lambda: [r["segment"] for p in paths() for r in self.records(p, event="session")]
        self.wait_for(lambda: len(ids()) == 40, "all sessions")
        self.ended(log)
        self.assertGreater(len(paths()), 3)
        for path in paths():
            self.assertLessEqual(os.path.getsize(path), 16384)
        self.assertEqual(len(set(ids())), 40)
        self.assertEqual(self.records(f"{self.path}.{len(paths()) - 1}")[0]["event"], "start")
        log = self.file_log("--rotate-size", "16K", "--rotate-keep", "2")
        self.short(20)
        self.wait_for(lambda: any("seq" in r and r["event"] == "session" for r in self.records()) and
                      self.snapshot()["totals"]["sessions_ended"] == 60, "the rest")
        self.ended(log)
        self.assertEqual(len(set(ids())), len(ids()))

    def test_rotate_keep(self):
        for keep in (0, 2):
            path = f"{self.directory}/{keep}"
            log = self.log("--file", path, "--interval", "0.1", "--rotate-size", "4K",
                           "--rotate-keep", str(keep), "--count", "80")
            self.assertEqual(log.wait(timeout=60), 0)
            left = {os.path.basename(p) for p in glob.glob(f"{path}*")}
            self.assertEqual(left, {f"{keep}", f"{keep}.state",
                                    *(f"{keep}.{i + 1}" for i in range(keep))})

    def test_moved(self):
        """As logrotate does it: renamed, then SIGHUP; and where nobody tells."""
        self.agent()
        log = self.file_log()
        self.short(1)
        self.wait_records(1, event="session")
        os.rename(self.path, f"{self.path}.1")
        log.send_signal(signal.SIGHUP)
        self.wait_for(lambda: os.path.exists(self.path), "the new file")
        self.short(1)
        self.wait_records(1, event="session")
        os.rename(self.path, f"{self.path}.2")
        self.short(1)
        self.wait_records(1, event="session")
        for path in (self.path, f"{self.path}.1", f"{self.path}.2"):
            self.assertEqual(len(self.records(path, event="session")), 1, path)
        self.ended(log)
        self.assertEqual(self.records(event="gap"), [])

    def test_copied_and_truncated(self):
        """logrotate's copytruncate: the next record begins at the start."""
        self.agent()
        self.file_log()
        self.short(5)
        self.wait_records(5, event="session")
        os.truncate(self.path, 0)
        self.short(1)
        self.wait_records(1, event="session")
        self.assertEqual(len(self.records()), 1)

    def test_directory_removed(self):
        directory = f"{self.directory}/sub"
        os.mkdir(directory)
        self.path = f"{directory}/log.jsonl"
        self.agent()
        log = self.file_log()
        for path in glob.glob(f"{self.path}*"):
            os.unlink(path)
        os.rmdir(directory)
        self.short(3)
        self.said(log, "cannot write .*No such file or directory")
        os.mkdir(directory)
        records = self.wait_records(3, event="session")
        self.assertEqual(len(records), 3)
        (gap,) = self.records(event="gap")
        self.assertEqual(self.records()[1], gap, "after the first one that could be written")
        self.assertEqual((gap["what"], gap["reason"]), ("write", "No such file or directory"))
        self.assertGreater(gap["failures"], 0)
        said = self.ended(log)
        self.assertEqual(said.count("cannot write"), 0, "said once")
        self.assertIn("again", said)

    def test_one_log(self):
        self.agent()
        self.file_log()
        result = run_log(self.env, "--file", self.path, "--append")
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"another shmbus log writes to {self.path}", result.stderr)

    def test_cannot_open(self):
        os.mkfifo(f"{self.directory}/fifo")
        for path, words in ((f"{self.directory}/no/file", "No such file"),
                            (self.directory, "Is a directory"),
                            (f"{self.directory}/fifo", "cannot open"),
                            ("/dev/null", "no regular file")):
            result = run_log(self.env, "--file", path)
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            self.assertIn(words, result.stderr)

    def test_limit_of_size(self):
        """A limit that would end another program (SIGXFSZ) is a full disk."""
        self.agent()
        log = self.start("prlimit", "--fsize=8192:", f"{os.environ['SHMBUS_BIN']}/shmbus", "log",
                         "--file", self.path, directory="/usr/bin", stderr=subprocess.PIPE)
        self.short(20)
        self.said(log, "cannot write .*File too large")
        self.assertEqual(self.content(self.path)[-1:], "\n")
        self.assertLess(len(self.records(event="session")), 20)
        subprocess.run(["prlimit", "--pid", str(log.pid), "--fsize=unlimited:"], timeout=30,
                       check=True)
        records = self.wait_records(20, event="session")
        self.assertEqual(len(records), 20)
        self.ended(log)


class Output(Logs):
    def test_stream(self):
        self.agent()
        log = self.log("--interval", "0.2", "--count", "3", "--status")
        out, said = log.communicate(timeout=30)
        records = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([r["event"] for r in records],
                         ["start", "interval", "interval", "interval", "end"])
        self.assertEqual(log.returncode, 0)
        self.assertEqual(len(said.splitlines()), 3)
        for line in said.splitlines():
            self.assertRegex(line, r"CPU [\d.]+ ?%, Mem [\d.]+MiB; sessions: 0 active")

    def test_intervals(self):
        """What the intervals give adds up to what was recorded."""
        self.agent()
        log = self.file_log("--interval", "0.1")
        for i in range(3):
            self.report(self.producer("--id", f"x{i}", "--count", "2000", "--rate", "10000"))
        done = lambda: sum(r.get("samples", 0) for r in self.records(event="interval"))
        self.wait_records(3, event="session")
        self.wait_for(lambda: done() == 6000, "all samples")
        self.ended(log)
        intervals = self.records(event="interval")
        self.assertEqual(done(), 6000)
        self.assertEqual(sum(r["sessions_finished"] for r in intervals), 3)
        for before, after in zip(intervals, intervals[1:]):
            self.assertGreaterEqual(after["start_time_unix_ns"], before["start_time_unix_ns"])
        full = [r for r in intervals if r.get("sessions_total") == 3][-1]
        self.assertEqual(metric(full, "value")["count"], 6000)
        self.assertNotIn("histogram", metric(full, "value"))
        self.assertIn("1m", metric(full, "value")["windows"])
        self.assertEqual(full["agent"]["samples_total"], 6000)

    def test_throttle(self):
        self.agent()
        self.report(self.producer("--id", "before", "--count", "500", "--hold"))
        self.wait_for(lambda: (s := self.session("before")) and s["aggregated_total"] == 500,
                      "its samples")
        log = self.file_log("--every", "100", "--metric", "v[a-c]lue")
        producer = self.producer("--id", "x", "--count", "1000", "--rate", "500", "--hold")
        self.report(producer)
        self.wait_for(lambda: (r := self.records(event="throttle")) and r[-1]["count"] == 1000,
                      "the last one")
        self.ended(log)
        records = self.records(event="throttle")
        steps = [r["count"] // 100 for r in records]
        self.assertEqual(steps, sorted(set(steps)), "one for each hundred at most")
        self.assertLessEqual(len(records), 10)
        self.assertEqual({(r["id"], r["metric"], r["every"]) for r in records},
                         {("x", "value", 100)})
        self.assertEqual(records[-1]["window"]["count"], 1000)

    def test_hook(self):
        for value in (None, "", "0", "true", "11"):
            self.env.pop("SHMBUS_METRICS_JSON", None)
            if value is not None:
                self.env["SHMBUS_METRICS_JSON"] = value
            result = run_log(self.env, "--hook", "--file", self.path)
            self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
            self.assertFalse(os.path.exists(self.path))
        self.env["SHMBUS_METRICS_JSON"] = "1"
        self.agent()
        log = self.file_log("--hook")
        self.ended(log)

    def test_hung_reader(self):
        """SIGTERM ends a log whose reader does not read."""
        self.agent()
        log = self.log()
        self.assertEqual(json.loads(log.stdout.readline())["event"], "start")
        self.short(200)
        self.wait_for(lambda: self.blocked(log), "the pipe to be full")
        log.terminate()
        self.assertEqual(log.wait(timeout=30), 1)
        self.assertRegex(log.stderr.read(), r"\d+ records could not be written")

    def blocked(self, child):
        with open(f"/proc/{child.pid}/wchan", encoding="ascii") as file:
            return "pipe" in file.read()

    def test_reader_leaves(self):
        self.agent()
        log = self.log("--interval", "0.1")
        log.stdout.close()
        self.assertEqual(log.wait(timeout=30), -signal.SIGPIPE)


if __name__ == "__main__":
    unittest.main()

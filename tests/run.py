#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the tests of a build directory and counts their results.

A test program fails as a whole, whatever it says of itself, when it prints no results or others
than it planned, exits badly, crashes, runs out of time, draws a sanitizer's report, or leaves a
process or a segment in shared memory behind.
"""

import argparse
import ctypes
import fcntl
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

SHM_DIR = pathlib.Path("/dev/shm")
PR_SET_CHILD_SUBREAPER = 36
TIMEOUT_DEFAULT_S = 60
GRACE_S = 2.0  # for what a test has ended but the kernel has not
LOG_LINES_MAX = 120

SANITIZER_REPORT = re.compile(
    r"ERROR: AddressSanitizer|runtime error:|WARNING: ThreadSanitizer|LeakSanitizer: detected|"
    r"AddressSanitizer:DEADLYSIGNAL|FATAL: ThreadSanitizer|ERROR: LeakSanitizer"
)
TAP_RESULT = re.compile(r"^(not )?ok\b(?:\s+\d+)?(?:\s*-)?\s*([^#]*?)\s*(?:#\s*(.*))?$")
TAP_PLAN = re.compile(r"^1\.\.(\d+)\s*(?:#\s*skip\b\s*(.*))?$", re.IGNORECASE)
# What Criterion says of a test that a filter or `.disabled` left out.
CRITERION_LEFT_OUT = "test was skipped"


def few(complaints):
    """The first of them, and how many more: a test can leave a thousand segments behind."""
    more = len(complaints) - 3
    return complaints if more <= 0 else [*complaints[:3], f"and {more} more like that"]


class Tap:
    """What a test program said of itself."""

    def __init__(self, text):
        self.passed = 0
        self.skipped = 0
        self.failed = []
        self.complaints = []
        plan = None
        lines = 0
        for line in text.splitlines():
            if match := TAP_PLAN.match(line):
                if plan is not None:
                    self.complaints.append("two plans")
                plan = int(match[1])
                if plan == 0 and match[2] is not None:
                    self.skipped += 1
            elif match := TAP_RESULT.match(line):
                lines += 1
                self.take(*match.groups())
            elif line.startswith("Bail out!"):
                self.complaints.append(line)
        if plan is None:
            self.complaints.append("no plan: it ended before its time" if lines else "no results")
        elif plan != lines:
            self.complaints.append(f"{lines} results, {plan} planned")
        elif not (self.passed or self.failed or self.skipped):
            self.complaints.append("zero tests")

    def take(self, negation, name, directive):
        skip = directive is not None and directive.lower().startswith("skip")
        if negation:
            self.failed.append(name)
        elif skip and directive[4:].strip() == CRITERION_LEFT_OUT:
            pass
        elif skip:
            self.skipped += 1
        else:
            self.passed += 1


class Test:
    """One test program, as ctest knows it."""

    def __init__(self, entry):
        properties = {p["name"]: p["value"] for p in entry.get("properties", [])}
        self.name = entry["name"]
        self.command = entry.get("command", [])
        self.labels = properties.get("LABELS", [])
        self.timeout_s = float(properties.get("TIMEOUT", TIMEOUT_DEFAULT_S))
        self.serial = bool(properties.get("RUN_SERIAL", False))
        self.directory = properties.get("WORKING_DIRECTORY")
        self.environment = dict(e.split("=", 1) for e in properties.get("ENVIRONMENT", []))


class Outcome:
    def __init__(self, test, tap, complaints, logs, time_s):
        self.test = test
        self.passed = tap.passed
        self.skipped = tap.skipped
        self.failures = [f"{test.name}: {name}" for name in tap.failed]
        if complaints:
            self.failures.append(f"{test.name}: {'; '.join(complaints)}")
        self.logs = logs
        self.time_s = time_s


def processes():
    """Yields (pid, parent, session, state) of every process."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = pathlib.Path("/proc", entry, "stat").read_text(errors="replace")
        except OSError:
            continue
        fields = stat[stat.rindex(")") + 2 :].split()
        yield int(entry), int(fields[1]), int(fields[3]), fields[0]


def command_of(pid):
    try:
        words = pathlib.Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0")
        return b" ".join(words).decode(errors="replace").strip()[:120]
    except OSError:
        return ""


class Children:
    """Finds the processes that tests leave behind: orphans come to us, their subreaper, and what
    has another parent still carries the test's mark in its environment or its session."""

    def __init__(self):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.lock = threading.Lock()
        self.running = set()  # of tests' own processes, which subprocess waits for

    def spawn(self, *args, **options):
        with self.lock:
            process = subprocess.Popen(*args, start_new_session=True, **options)
            self.running.add(process.pid)
            return process

    def forget(self, process):
        with self.lock:
            self.running.discard(process.pid)

    def kill_running(self):
        with self.lock:
            sessions = set(self.running)
        kill_all([pid for pid, _, session, _ in processes() if session in sessions])

    def reap(self):
        with self.lock:
            for pid, parent, _, state in processes():
                if parent == os.getpid() and state == "Z" and pid not in self.running:
                    try:
                        os.waitpid(pid, os.WNOHANG)
                    except ChildProcessError:
                        pass

    def left_by(self, session, mark):
        """The live processes of a test whose own process has ended."""
        self.reap()
        found = []
        for pid, _, its_session, state in processes():
            if state in "ZX" or pid == os.getpid():
                continue
            if its_session == session or self.marked(pid, mark):
                found.append(pid)
        return found

    def orphans(self):
        """Live processes that came to us and bear no mark: of which test nobody can say."""
        self.reap()
        with self.lock:
            return [
                pid
                for pid, parent, _, state in processes()
                if parent == os.getpid() and state not in "ZX" and pid not in self.running
            ]

    @staticmethod
    def marked(pid, mark):
        try:
            return mark in pathlib.Path("/proc", str(pid), "environ").read_bytes().split(b"\0")
        except OSError:
            return False


def kill_all(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def segments_of(bus):
    """The files in shared memory of a bus, or of one whose name goes on after it."""
    pattern = re.compile(rf"(sem\.)?shmbus\.{re.escape(bus)}(?![0-9])")
    try:
        return sorted(name for name in os.listdir(SHM_DIR) if pattern.match(name))
    except OSError:
        return []


def lock(build):
    """One run at a time in a build directory: runs share the logs. Held until we exit."""
    (build / "tests").mkdir(exist_ok=True)
    file = open(build / "tests" / ".run.lock", "w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"waiting for another run in {build}", flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)
    return file


class Runner:
    def __init__(self, build, sanitize):
        self.build_lock = lock(build)
        self.build = build
        self.sanitize = sanitize
        self.logs = build / "tests" / "logs"
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir(parents=True)
        self.children = Children()
        self.number = 0
        self.lock = threading.Lock()

    def environment(self, test, bus, scratch):
        """The caller's, without what would change the programs under test."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("SHMBUS_")}
        # With a file of its own, a report is seen even where a program's stderr is not.
        path = f"log_path='{self.logs / test.name}.sanitizer'"
        env.update(
            LC_ALL="C.UTF-8",
            TMPDIR=str(scratch),
            PYTHONDONTWRITEBYTECODE="1",
            SHMBUS_BUS=bus,
            SHMBUS_TEST=bus,
            SHMBUS_TEST_TIMEOUT=str(test.timeout_s),
            ASAN_OPTIONS=f"detect_leaks=1:halt_on_error=1:{path}",
            TSAN_OPTIONS=f"halt_on_error=1:{path}",
            UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1",
        )
        if self.sanitize == "undefined":  # gcc's libubsan loses reports beside libasan
            env["UBSAN_OPTIONS"] += f":{path}"
        env.update(test.environment)
        return env

    def run(self, test):
        with self.lock:
            self.number += 1
            bus = f"t{os.getpid()}-{self.number}"
        if not test.command or not shutil.which(test.command[0]):
            return Outcome(test, Tap("1..0 # skip"), ["it was not built"], [], 0)
        out, err, tap = (self.logs / f"{test.name}.{end}" for end in ("out", "err", "tap"))
        command = list(test.command)
        if "unit" in test.labels:
            # Criterion's TAP goes to a file or to stderr, where tests' own words stand between.
            command += [f"--tap={tap}", "--ascii"]
        before = set(segments_of(bus))
        scratch = tempfile.mkdtemp(prefix="shmbus-test-")
        start = time.monotonic()
        try:
            env = self.environment(test, bus, scratch)
            with open(out, "wb") as out_file, open(err, "wb") as err_file:
                process = self.children.spawn(
                    command,
                    cwd=test.directory,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=out_file,
                    stderr=err_file,
                )
            complaints = self.wait(process, test, bus)
            complaints += self.check_processes(process.pid, bus)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        complaints += self.check_segments(bus, before)
        source = tap if "unit" in test.labels else out
        results = Tap(source.read_text(errors="replace") if source.exists() else "")
        complaints += results.complaints
        if process.returncode > 0 and not results.failed:
            complaints.append(f"exit status {process.returncode}")
        logs = [out, err, tap, *sorted(self.logs.glob(f"{test.name}.sanitizer.*"))]
        logs = [log for log in logs if log.exists() and log.stat().st_size]
        if any(SANITIZER_REPORT.search(log.read_text(errors="replace")) for log in logs):
            complaints.append("a sanitizer's report")
        return Outcome(test, results, complaints, logs, time.monotonic() - start)

    def wait(self, process, test, bus):
        complaints = []
        try:
            process.wait(test.timeout_s)
        except subprocess.TimeoutExpired:
            complaints.append(f"timed out after {test.timeout_s:g} s")
            kill_all(self.children.left_by(process.pid, f"SHMBUS_TEST={bus}".encode()))
        finally:
            if process.poll() is None:
                kill_all([process.pid])
                process.wait()
            self.children.forget(process)
        if process.returncode < 0 and not complaints:
            complaints.append(f"killed by {signal.Signals(-process.returncode).name}")
        return complaints

    def check_processes(self, session, bus):
        mark = f"SHMBUS_TEST={bus}".encode()
        deadline = time.monotonic() + GRACE_S
        while (left := self.children.left_by(session, mark)) and time.monotonic() < deadline:
            time.sleep(0.02)
        named = few([f"left process {pid} behind: {command_of(pid)}" for pid in left])
        while left:
            kill_all(left)
            time.sleep(0.02)
            left = self.children.left_by(session, mark)
        return named

    @staticmethod
    def check_segments(bus, before):
        left = [name for name in segments_of(bus) if name not in before]
        for name in left:
            if (SHM_DIR / name).is_dir():
                shutil.rmtree(SHM_DIR / name, ignore_errors=True)
            else:
                (SHM_DIR / name).unlink(missing_ok=True)
        return few([f"left /dev/shm/{name} behind" for name in left])


def tests_of(build, names):
    listing = subprocess.run(
        ["ctest", "--show-only=json-v1"], cwd=build, check=True, stdout=subprocess.PIPE
    )
    tests = [Test(entry) for entry in json.loads(listing.stdout)["tests"]]
    if names:
        tests = [test for test in tests if any(name in test.name for name in names)]
    return tests


def sanitizer_of(build):
    for line in (build / "CMakeCache.txt").read_text().splitlines():
        if line.startswith("SHMBUS_SANITIZE:"):
            return line.split("=", 1)[1]
    return ""


def show(outcome):
    word = "not ok" if outcome.failures else "ok"
    counts = f"{outcome.passed} passed"
    if outcome.failures:
        counts += f", {len(outcome.failures)} failed"
    if outcome.skipped:
        counts += f", {outcome.skipped} skipped"
    print(f"  {word:6}  {outcome.test.name:28} {outcome.time_s:7.2f} s  {counts}", flush=True)
    if not outcome.failures:
        return
    for failure in outcome.failures:
        print(f"          {failure}")
    for log in outcome.logs:
        lines = log.read_text(errors="replace").splitlines()
        print(f"    --- {log.name}")
        if len(lines) > LOG_LINES_MAX:
            print(f"    | ({len(lines) - LOG_LINES_MAX} lines more in {log})")
        for line in lines[-LOG_LINES_MAX:]:
            print(f"    | {line}")
    sys.stdout.flush()


def run_all(runner, tests, jobs):
    """Those that may run beside others first, then the serial ones."""
    outcomes = []
    lock = threading.Lock()

    def work(queue):
        while True:
            with lock:
                if not queue:
                    return
                test = queue.pop(0)
            try:
                outcome = runner.run(test)
            except Exception:  # a fault of ours must not pass for a success
                complaint = f"the runner failed: {traceback.format_exc()}"
                outcome = Outcome(test, Tap("1..0 # skip"), [complaint], [], 0)
            with lock:
                outcomes.append(outcome)
                show(outcome)

    together = sorted((t for t in tests if not t.serial), key=lambda t: -t.timeout_s)
    threads = [threading.Thread(target=work, args=(together,), daemon=True) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
        work([t for t in tests if t.serial])
    except BaseException:
        runner.children.kill_running()
        raise
    return outcomes


def line_of(totals):
    line = f"{totals['passed']} passed, {totals['failed']} failed"
    return line + (f", {totals['skipped']} skipped" if totals["skipped"] else "")


def exit_status(totals):
    return 0 if totals["passed"] and not totals["failed"] else 1


def add_up(files, some_in_each):
    """Prints the sum of several runs; a run whose file is missing counts as a failure, and
    with `some_in_each` one that ran nothing."""
    sums = {"passed": 0, "failed": 0, "skipped": 0}
    for file in map(pathlib.Path, files):
        name = file.name.split(".")[0]
        try:
            totals = json.loads(file.read_text())
        except (OSError, ValueError):
            totals = {"passed": 0, "failed": 1, "skipped": 0, "failures": ["no results"]}
        if some_in_each and not (totals["passed"] or totals["failed"]):
            totals["failed"] = 1
            totals["failures"] = ["no test was run"]
        for key in sums:
            sums[key] += totals[key]
        for failure in totals["failures"]:
            print(f"failed in {name}: {failure}")
    print(line_of(sums))
    return exit_status(sums)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", nargs="?", help="the build directory")
    parser.add_argument("names", nargs="*", help="run only the tests whose names contain one")
    parser.add_argument("--json", metavar="FILE", help="write the totals there")
    # Most of what runs beside others waits for it.
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)) + 1)
    parser.add_argument("--list", action="store_true", help="print the tests' names only")
    parser.add_argument("--add", nargs="+", metavar="FILE", help="add up what --json wrote")
    parser.add_argument("--some-in-each", action="store_true", help="with --add: none is empty")
    options = parser.parse_args(arguments)
    if not options.build and not options.add:
        parser.error("a build directory is needed")
    return options


def main(arguments):
    options = parse(arguments)
    if options.add:
        return add_up(options.add, options.some_in_each)
    build = pathlib.Path(options.build).resolve()
    tests = tests_of(build, options.names)
    if options.list:
        print("\n".join(test.name for test in tests))
        return 0
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    runner = Runner(build, sanitizer_of(build))
    outcomes = run_all(runner, tests, max(1, options.jobs))
    failures = [failure for outcome in outcomes for failure in outcome.failures]
    orphans = runner.children.orphans()
    failures += [f"a test left process {pid} behind: {command_of(pid)}" for pid in orphans]
    kill_all(orphans)
    totals = {
        "passed": sum(outcome.passed for outcome in outcomes),
        "failed": len(failures),
        "skipped": sum(outcome.skipped for outcome in outcomes),
        "failures": failures,
    }
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(totals, indent=2) + "\n")
    print(line_of(totals))
    return exit_status(totals)


if __name__ == "__main__":
    # Whoever starts this in the background may have it ignore some, and all tests with it.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)

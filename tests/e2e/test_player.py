# SPDX-License-Identifier: MIT
"""shmbus-player: what it says of wrong arguments, what it plays, what it records, how it ends."""

import array
import json
import math
import os
import pathlib
import random
import signal
import subprocess
import tempfile
import time
import unittest
import wave

from bus import BIN, Bus, metric, total

PLAYER = f"{BIN}/shmbus-player"
RATE = 48000
ANY_CAPABILITY = subprocess.run(["setpriv", "--bounding-set=-sys_nice", "true"],
                                capture_output=True, check=False).returncode == 0
FIFO_ALLOWED = subprocess.run(["chrt", "-f", "70", "true"],
                              capture_output=True, check=False).returncode == 0


def wav_write(path, samples, rate=RATE, channels=1):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(array.array("h", samples).tobytes())


def wav_read(path):
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return file.getframerate(), array.array("h", file.readframes(file.getnframes()))


def noise(count, amplitude=12000):
    source = random.Random(1)
    return [source.randint(-amplitude, amplitude) for _ in range(count)]


def sine(hz, rate, seconds, amplitude=9000):
    return [round(amplitude * math.sin(2 * math.pi * hz * i / rate))
            for i in range(int(rate * seconds))]


def room(milliseconds):
    """The impulse that the player makes up: engine.c says how."""
    length = RATE * milliseconds // 1000
    seed, impulse = 1, []
    for i in range(length + 1):
        seed = (seed * 1664525 + 1013904223) % 2**32
        impulse.append(((seed >> 8) / 8388608 - 1) * 0.02 * math.exp(-6.9 * i / (length + 1)))
    impulse[0] = 1
    return impulse


def played(samples, impulse, count):
    """What should be heard of a file that is played again and again."""
    looped = [samples[i % len(samples)] / 32768 for i in range(count)]
    return [math.tanh(0.7 * sum(h * looped[n - k] for k, h in enumerate(impulse[: n + 1])))
            for n in range(count)]


class Player(Bus):
    def setUp(self):
        super().setUp()
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.folder = pathlib.Path(self.scratch.name)
        self.file = self.folder / "noise.wav"
        wav_write(self.file, noise(RATE // 5))

    def play(self, *arguments, seconds="0.2", **options):
        return subprocess.run([PLAYER, "--seconds", seconds, *map(str, arguments)], env=self.env,
                              text=True, capture_output=True, timeout=60, check=False, **options)

    def player(self, *arguments):
        return self.start("shmbus-player", "--quiet", "--id", "p", *map(str, arguments),
                          self.file)

    def wait_value(self, name, wanted):
        """Waits until the running session's metric is so."""
        def found():
            metrics = (self.session("p") or {"metrics": []})["metrics"]
            return any(m["name"] == name and wanted(m.get("value")) for m in metrics)

        self.wait_for(found, f"{name} of the session", seconds=30)

    def wait_frames(self, frames):
        self.wait_value("frames", lambda value: value is not None and value >= frames)


class Arguments(Player):
    def refused(self, status, message, *arguments):
        with self.subTest(arguments=arguments):
            result = self.play(*arguments)
            self.assertEqual(result.returncode, status, result.stderr)
            self.assertRegex(result.stderr, message)
            self.assertEqual(self.files(), [])

    def test_help(self):
        result = self.play("--help")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for option in ("bus", "service", "id", "label", "quantum", "rate", "seconds",
                       "impulse-ms", "overload", "overload-every", "ring", "realtime", "output",
                       "report", "quiet", "help"):
            self.assertIn(f"--{option} ", result.stdout)

    def test_options(self):
        self.refused(2, "--nope.*\n.*--help", "--nope")
        self.refused(2, "requires an argument", "--quantum")
        ranges = {"--quantum": (16, 4096), "--rate": (8000, 192000), "--impulse-ms": (1, 2000),
                  "--overload": (1, 1000), "--overload-every": (1, 1000000),
                  "--ring": (1, 16777216)}
        for option, (least, most) in ranges.items():
            for value in (least - 1, most + 1, -1, "", "x", "1x", " 20", "+20", "1.5",
                          "99999999999999999999"):
                self.refused(2, f"{option} .*{least} to {most}", option, value, self.file)
        for value in ("-1", "86401", "", "x", "1x", "nan", "inf"):
            self.refused(2, "--seconds .*0 to 86400", "--seconds", value, self.file)

    def test_names(self):
        for bus in ("", "a.b", "a/b", "x" * 32, "ä"):
            self.refused(2, "is not allowed: 1 to 31 of A-Z a-z 0-9 _ -", "--bus", bus, self.file)
        self.refused(2, "must not be empty", "--id", "", self.file)
        self.refused(2, "at most 63", "--id", "x" * 64, self.file)
        self.refused(2, "control characters", "--id", "a\nb", self.file)
        self.refused(2, "a letter or _, then", "--service", "a!b", self.file)
        self.refused(2, "KEY=VALUE", "--label", "a", self.file)
        self.refused(2, "a letter or _, then", "--label", "1a=b", self.file)
        self.refused(2, "KEY=VALUE, up to 8", *["--label", "a=b"] * 9, self.file)
        self.env["SHMBUS_BUS"] = "a.b"
        self.refused(2, "is not allowed: 1 to 31", self.file)

    def test_files(self):
        text, empty, silent, eight, broken = (
            self.folder / name for name in ("text.wav", "empty.wav", "none.wav", "9.wav",
                                            "broken.wav"))
        text.write_text("no sound\n" * 100)
        empty.write_bytes(b"")
        wav_write(silent, [])
        wav_write(eight, [0] * 900, channels=9)
        broken.write_bytes(self.file.read_bytes()[:30])
        slow = self.folder / "slow.wav"
        wav_write(slow, [0] * 100, rate=100)
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        bare = self.folder / "bare"
        bare.mkdir()
        (bare / "text.wav").write_text("no sound\n")
        self.refused(1, "cannot play .*/nope.wav: No such file.*\n.*WAV.*FLAC", self.folder /
                     "nope.wav")
        self.refused(1, "nope.wav: No such file", self.file, self.folder / "nope.wav")
        for path in (text, empty, broken):
            self.refused(1, f"cannot play {path}: .*\n.*WAV.*FLAC", path)
        self.refused(1, "holds no sound", silent)
        self.refused(1, "more than 8 channels.*\n.*1 to 8", eight)
        self.refused(1, "256 times", slow)
        self.refused(1, "neither a file nor a folder", fifo)
        self.refused(1, f"no audio file in {bare}.*alsa-utils", bare)
        if os.geteuid() != 0:
            self.file.chmod(0)
            self.refused(1, "Permission denied", self.file)

    def test_output_refused(self):
        self.refused(1, "cannot write .*No such file", "--output", self.folder / "no/x.wav",
                     self.file)
        self.refused(1, "cannot write /dev/full", "--output", "/dev/full", self.file)
        before = self.file.read_bytes()
        self.refused(1, "it is being played", "--output", self.file, self.file)
        self.assertEqual(self.file.read_bytes(), before)

    def test_odd_names(self):
        """Names are no patterns, and no label need hold them; a folder's other files are passed
        over."""
        odd = self.folder / "[a]*?.wav"
        wav_write(odd, noise(1000))
        self.assertEqual(self.play(odd).returncode, 0)
        strange = self.folder / "new\nline.wav"
        wav_write(strange, noise(1000))
        self.assertEqual(self.play(strange).returncode, 0)
        (self.folder / "readme.txt").write_text("no sound\n")
        self.assertEqual(self.play(self.folder).returncode, 0)

    def test_every_option(self):
        output = self.folder / "out.wav"
        result = self.play("--bus", self.bus, "--service", "radio", "--id", "x", "--label", "a=b",
                           "--quantum", "64", "--rate", "44100", "--impulse-ms", "20",
                           "--overload", "50", "--overload-every", "10", "--ring", "4096",
                           "--realtime", "--output", output, "--report", "--quiet", self.file)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(wav_read(output)[0], 44100)
        for writer in json.loads(result.stdout).values():
            self.assertEqual(writer["attempted"], writer["recorded"] + writer["dropped"])

    def test_extremes(self):
        for arguments in (("--quantum", 16, "--rate", 192000), ("--quantum", 4096, "--rate", 8000)):
            result = self.play(*arguments, self.file)
            self.assertEqual(result.returncode, 0, result.stderr)

    def test_no_room_for_metrics(self):
        """It plays on, and says why there are none."""
        result = self.play("--ring", "16777216", self.file,
                           preexec_fn=lambda: limit_file_size(1 << 20))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stderr, "playing without metrics: .")


def limit_file_size(size):
    import resource  # pylint: disable=import-outside-toplevel

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


class Sound(Player):
    def record(self, frames, *arguments, quantum=128):
        """Plays until so much is in the output. A disk that is late makes a block of silence,
        which is taken out: no test file is silent for a whole block."""
        output = self.folder / "out.wav"
        child = self.start("shmbus-player", "--quiet", "--output", str(output), "--quantum",
                           str(quantum), *map(str, arguments))
        self.wait_for(lambda: output.exists() and output.stat().st_size > 2 * frames + 100,
                      "the output", seconds=30)
        self.assertEqual(self.stop(child), 0)
        rate, samples = wav_read(output)
        self.assertEqual(rate, RATE)
        self.assertEqual(len(samples) % quantum, 0)
        blocks = (samples[i : i + quantum] for i in range(0, len(samples), quantum))
        return [s for block in blocks if any(block) for s in block]

    def assert_heard(self, heard, expected):
        self.assertGreaterEqual(len(heard), 1024)
        worst = max(abs(a / 32768 - b) for a, b in zip(heard, expected))
        self.assertLess(worst, 2 / 32768)

    def test_convolved(self):
        """Also across the block's and the file's ends, with an impulse of 2.3 blocks."""
        source = noise(1777)
        wav_write(self.file, source)
        heard = self.record(8192, "--impulse-ms", "3", self.file, quantum=64)[:4096]
        self.assert_heard(heard, played(source, room(3), len(heard)))

    def test_mixed_to_mono(self):
        left, right = noise(1000), sine(500, RATE, 1000 / RATE)
        wav_write(self.file, [s for pair in zip(left, right) for s in pair], channels=2)
        heard = self.record(4096, "--impulse-ms", "1", self.file)[:2048]
        mono = [(a + b) / 2 for a, b in zip(left, right)]
        self.assert_heard(heard, played(mono, room(1), len(heard)))

    def test_converted(self):
        """1 kHz stays 1 kHz where files of several rates follow each other."""
        paths = []
        for rate in (44100, 22050, RATE):
            paths.append(self.folder / f"{rate}.wav")
            wav_write(paths[-1], sine(1000, rate, 0.1), rate)
        heard = self.record(20000, "--impulse-ms", "1", *paths)
        self.assertGreaterEqual(len(heard), 4800)
        for number in range(len(heard) // 4800):
            part = heard[4800 * number + 100 : 4800 * number + 4700]
            rising = [i for i in range(1, len(part)) if part[i - 1] < 0 <= part[i]]
            period = (rising[-1] - rising[0]) / (len(rising) - 1)
            self.assertAlmostEqual(period, 48, delta=0.1)
            self.assertAlmostEqual(max(part) / 32768, math.tanh(0.7 * 9000 / 32768), delta=0.02)

    def test_full_disk(self):
        self.env["SHMBUS_DISABLE"] = "1"
        output = self.folder / "out.wav"
        result = self.play("--output", output, self.file, seconds="50",
                           preexec_fn=lambda: limit_file_size(20000))
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, "cannot write .*out.wav: .*large")

    def test_file_goes_away(self):
        child = self.start("shmbus-player", self.file, stderr=subprocess.PIPE)
        self.wait_for(lambda: self.files("s."), "the session")
        self.file.unlink()
        self.assertEqual(child.wait(timeout=30), 1)
        self.assertIn("no file can be read any more", child.stderr.read())


class Records(Player):
    def ended(self, *arguments, frames=16384):
        """A session that has played for a while, as the agent shows it at last."""
        self.agent()
        child = self.player(*arguments)
        self.wait_frames(frames)
        self.assertEqual(self.stop(child), 0)
        return self.wait_for(lambda: self.session("p", "ended"), "the ended session")

    def test_account(self):
        output = self.folder / "out.wav"
        session = self.ended("--output", output, "--label", "take=7", "--report")
        names = {m["name"]: m for m in session["metrics"]}
        frames = len(wav_read(output)[1])
        blocks = frames // 128
        self.assertGreater(frames, 0)
        self.assertEqual(names["frames"]["value"], frames)
        self.assertEqual(names["frames"]["unit"], "{frame}")
        cycles = names["cycles"]["value"]
        for name in ("cycle", "cycle.wait"):
            self.assertEqual(names[name]["count"], cycles)
        for name in ("write", "latency"):
            self.assertEqual(names[name]["count"], blocks)
        self.assertEqual(names["convolve"]["count"], names["process"]["count"])
        self.assertLessEqual(names["process"]["count"], blocks)
        self.assertGreaterEqual(names["read"]["count"], names["process"]["count"])
        self.assertEqual(names["media.time"]["value"], cycles * (128 * 10**9 // RATE))
        self.assertEqual(names["state"]["value"], "stopped")
        self.assertTrue(0 <= names["queue.depth"]["value"] <= 64)
        self.assertLessEqual(names["level.peak"]["value"], 0)
        self.assertEqual((session["labels"]["take"], session["labels"]["quantum"],
                          session["labels"]["file"]), ("7", "128", "noise.wav"))
        self.assertEqual(total(session, "recorded"), total(session, "aggregated"))
        self.assertEqual(total(session, "dropped"), 0)
        self.assertEqual([w["name"] for w in session["writers"]], ["disk", "audio", "sink"])

    def test_stages_sum_up(self):
        session = self.ended()
        names = {m["name"]: m for m in session["metrics"]}
        derived = {d["name"]: d["value"] for d in session["derived"]}
        busy, latency = names["cycle"], names["latency"]
        self.assertAlmostEqual(
            names["process"]["sum"] + derived["unattributed"] * busy["count"], busy["sum"],
            delta=1e-6 * busy["sum"])
        self.assertGreaterEqual(derived["unattributed"], 0)
        self.assertLessEqual(names["convolve"]["sum"], names["process"]["sum"])
        self.assertLessEqual(names["decode"]["sum"], names["read"]["sum"])
        stages = sum(names[name]["sum"] for name in ("read", "process", "write"))
        self.assertAlmostEqual(stages + derived["queued"] * latency["count"], latency["sum"],
                               delta=1e-6 * latency["sum"])
        self.assertAlmostEqual(derived["realtime.factor"],
                               busy["sum"] / names["media.time"]["value"], places=6)

    def test_overload(self):
        """Half as much work again as there is time: each such cycle misses, by design."""
        session = self.ended("--overload", "150", "--overload-every", "3", "--quantum", "512")
        names = {m["name"]: m for m in session["metrics"]}
        busy, period = names["cycle"], 512 * 10**9 / RATE
        self.assertEqual((busy["period"]["quantum"], busy["period"]["rate_hz"]), (512, RATE))
        overloaded = names["process"]["count"] // 3
        self.assertGreater(overloaded, 0)
        # Cycles without input are not overloaded; the third of each three else is.
        silent = busy["count"] - names["process"]["count"]
        self.assertGreaterEqual(busy["period"]["misses"], overloaded - silent)
        self.assertGreaterEqual(busy["max"], 1.5 * period * 0.999)
        self.assertGreaterEqual(busy["period"]["xruns"], busy["period"]["misses"] - 1)
        self.assertFalse(names["process"]["target"]["met"])
        self.assertGreater(session_derived(session, "xrun.percent"), 0)

    def test_busy_is_the_work(self):
        """WAIT is the time before waking, BUSY that from waking to the end: work of two thirds
        of the quantum is in BUSY alone."""
        session = self.ended("--overload", "66", "--quantum", "2048")
        names = {m["name"]: m for m in session["metrics"]}
        least = 0.66 * 2048 * 10**9 / RATE
        played_cycles = names["process"]["count"]
        self.assertGreaterEqual(names["cycle"]["sum"], played_cycles * least * 0.999)
        self.assertGreaterEqual(names["process"]["sum"], played_cycles * least * 0.99)
        if played_cycles == names["cycle"]["count"]:
            self.assertGreaterEqual(names["cycle"]["min"], least * 0.999)

    def test_late_waking(self):
        """Stopped while it sleeps, it awakes late: that is WAIT, and a missed deadline."""
        self.agent()
        child = self.player()
        self.wait_frames(1)

        def stopped_asleep():
            child.send_signal(signal.SIGSTOP)
            time.sleep(0.3)
            child.send_signal(signal.SIGCONT)
            session = self.session("p")
            return metric(session, "cycle.wait").get("max", 0) >= 0.2e9

        self.wait_for(stopped_asleep, "a late waking", seconds=30)
        self.assertEqual(self.stop(child), 0)
        session = self.wait_for(lambda: self.session("p", "ended"), "the ended session")
        self.assertGreaterEqual(metric(session, "cycle")["period"]["misses"], 1)
        self.assertGreaterEqual(metric(session, "cycle")["period"]["xruns"], 1)

    def test_played_state(self):
        self.agent()
        child = self.player()
        self.wait_value("state", lambda value: value == "playing")
        session = self.session("p", "running")
        self.assertTrue(session["memory"]["shm_bytes"] > 0)
        self.assertEqual(self.stop(child), 0)


def session_derived(session, name):
    return next(d["value"] for d in session["derived"] if d["name"] == name)


class Ends(Player):
    def test_signals(self):
        self.agent()
        for how in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(how=how):
                name = f"p-{how.name}"
                child = self.start("shmbus-player", "--id", name, "--report", self.file)
                self.wait_for(lambda name=name: self.session(name, "running"), "the session")
                self.assertEqual(self.stop(child, how), 0)
                said = json.loads(child.stdout.read())
                session = self.wait_for(lambda name=name: self.session(name, "ended"),
                                        "the ended session")
                recorded = sum(writer["recorded"] for writer in said.values())
                self.assertEqual(total(session, "recorded"), recorded)
                self.assertEqual(total(session, "aggregated"), recorded)
                self.assertEqual(metric(session, "state")["value"], "stopped")

    def test_killed(self):
        self.agent()
        child = self.player()
        self.wait_frames(1)
        self.wait_value("state", lambda value: value == "playing")
        self.assertEqual(self.stop(child, signal.SIGKILL), -signal.SIGKILL)
        session = self.wait_for(lambda: self.session("p", "lost"), "the lost session")
        self.assertEqual(total(session, "recorded"), total(session, "aggregated"))
        self.assertEqual(metric(session, "state")["value"], "playing")
        self.wait_for(lambda: not self.files("s."), "its segment's removal")

    def test_signal_at_once(self):
        """At any moment of the start: it ends, and nothing of it stays."""
        for pause in (0, 0.002, 0.01, 0.03):
            child = self.start("shmbus-player", "--quiet", self.file)
            time.sleep(pause)
            self.assertIn(self.stop(child), (0, -signal.SIGTERM))
        self.assertEqual(self.files(), [])

    def test_without_agent(self):
        self.assertEqual(self.play(self.file).returncode, 0)
        self.assertEqual(self.files(), [])

    def test_disabled(self):
        self.env["SHMBUS_DISABLE"] = "1"
        result = self.play("--report", self.file)
        self.assertEqual(result.returncode, 0)
        self.assertEqual(json.loads(result.stdout)["audio"]["attempted"], 0)
        self.assertEqual(result.stderr, "")

    def test_report_to_nobody(self):
        child = self.start("shmbus-player", "--report", "--seconds", "0.2", self.file)
        child.stdout.close()
        child.wait(timeout=30)
        self.assertEqual(self.files(), [])


class Realtime(Player):
    @unittest.skipUnless(FIFO_ALLOWED, "no right to SCHED_FIFO here")
    def test_granted(self):
        child = self.start("shmbus-player", "--realtime", self.file, stderr=subprocess.PIPE)

        def policies():
            found = []
            for thread in os.listdir(f"/proc/{child.pid}/task"):
                try:
                    found.append(os.sched_getscheduler(int(thread)))
                except ProcessLookupError:
                    pass
            return found

        self.wait_for(lambda: policies().count(os.SCHED_FIFO) == 1, "one SCHED_FIFO thread")
        self.assertEqual(self.stop(child), 0)
        self.assertNotIn("SCHED_FIFO", child.stderr.read())

    @unittest.skipUnless(ANY_CAPABILITY, "needs the right to give up rights")
    def test_refused(self):
        """It says which right is missing, and plays on."""
        drop = "-sys_nice,-ipc_lock"
        result = subprocess.run(
            ["prlimit", "--rtprio=0:0", "--memlock=65536:65536", "setpriv",
             f"--bounding-set={drop}", f"--inh-caps={drop}", PLAYER, "--realtime", "--seconds",
             "0.2", "--report", self.file],
            env=self.env, text=True, capture_output=True, timeout=60, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stderr, "without SCHED_FIFO: .*RLIMIT_RTPRIO")
        if not os.environ.get("SHMBUS_SANITIZE"):  # AddressSanitizer locks no memory
            self.assertRegex(result.stderr, "without locked memory: .*RLIMIT_MEMLOCK")
        self.assertGreater(json.loads(result.stdout)["audio"]["recorded"], 0)


if __name__ == "__main__":
    unittest.main()

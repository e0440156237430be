# SPDX-License-Identifier: MIT
"""The manual pages say what is so: the layout in memory, the snapshot's keys, the options."""

import json
import os
import re
import resource
import shutil
import signal
import struct
import subprocess
import tempfile
import unittest
import wave

import manual
from bus import BIN, BUILD, Bus

SOURCE = manual.SOURCE
INCLUDE = f"{SOURCE}/libshm/include"
SANITIZE = [f"-fsanitize={os.environ['SHMBUS_SANITIZE']}"] if os.environ["SHMBUS_SANITIZE"] else []


def compiled(source, output, *more):
    """Compiles a C program that uses the library as this build has it."""
    path = f"{output}.c"
    with open(path, "w", encoding="utf-8") as file:
        file.write(source)
    subprocess.run(
        [os.environ["SHMBUS_CC"], "-std=c11", "-Wall", "-Werror", *SANITIZE, "-o", output, path,
         f"-I{INCLUDE}", *more], check=True, timeout=120)
    return output


def source_of(*paths):
    found = ""
    for path in paths:
        with open(f"{SOURCE}/{path}", encoding="utf-8") as file:
            found += file.read()
    return found


class Layout(unittest.TestCase):
    """shmbus-layout(5) against the headers."""

    @classmethod
    def setUpClass(cls):
        cls.layout = source_of("libshm/include/shmbus/layout.h")
        cls.ring = source_of("libshm/include/shmbus/ring.h")
        # The two ends of a ring are private to their processes.
        cls.structs = set(re.findall(r"^struct (\w+) \{", cls.layout + cls.ring, re.MULTILINE))
        cls.structs -= {"shmbus_ring_producer", "shmbus_ring_consumer"}

    def computed(self, expressions):
        """What the compiler makes of integer expressions."""
        prints = "".join(f'printf("%llu\\n", (unsigned long long)({e}));\n' for e in expressions)
        source = ("#include <shmbus/clock.h>\n#include <shmbus/ring.h>\n#include <stdio.h>\n"
                  f"int main(void) {{\n{prints}}}\n")
        with tempfile.TemporaryDirectory() as directory:
            program = compiled(source, f"{directory}/computed")
            result = subprocess.run([program], capture_output=True, text=True, check=True,
                                    timeout=60)
        return [int(line) for line in result.stdout.split()]

    def described(self):
        """Of each struct its size and its rows: offset, size, field."""
        found = {}
        for heading, body in manual.sections("shmbus-layout.5", 2):
            match = re.fullmatch(r"struct (\w+), (\d+) bytes", heading)
            if match:
                rows = manual.tables(body)[0]
                self.assertEqual(rows[0][:3], ["Offset", "Size", "Field"], heading)
                found[match[1]] = int(match[2]), [(int(r[0]), int(r[1]), r[2]) for r in rows[1:]]
        return found

    def test_structs(self):
        described = self.described()
        self.assertEqual(set(described), self.structs)
        expressions = []
        for struct_name, (_, rows) in described.items():
            expressions.append(f"sizeof(struct {struct_name})")
            for _, _, field in rows:
                expressions += [f"offsetof(struct {struct_name}, {field})",
                                f"sizeof(((struct {struct_name} *)0)->{field})"]
        computed = iter(self.computed(expressions))
        for struct_name, (size, rows) in described.items():
            self.assertEqual(size, next(computed), struct_name)
            for offset, field_size, field in rows:
                self.assertEqual((offset, field_size), (next(computed), next(computed)),
                                 f"{struct_name}.{field}")

    def test_no_field_is_missing(self):
        """The fields lie end to end, so each byte, and thus each field, is described."""
        for struct_name, (size, rows) in self.described().items():
            end = 0
            for offset, field_size, field in rows:
                self.assertEqual(offset, end, f"{struct_name}: before {field}")
                end = offset + field_size
            self.assertEqual(end, size, f"{struct_name}: after the last field")

    def test_constants(self):
        rows = manual.tables(dict(manual.sections("shmbus-layout.5", 1))["CONSTANTS"])[0][1:]
        names = [row[0] for row in rows]
        self.assertEqual(len(names), len(set(names)))
        for row, value in zip(rows, self.computed(names)):
            self.assertEqual(int(row[1], 0), value, row[0])

    def test_no_constant_is_missing(self):
        enums = source_of("libshm/include/shmbus/types.h", "libshm/include/shmbus/clock.h")
        wanted = set(re.findall(r'^#define (SHMBUS_\w+) [^"\n]', self.layout + self.ring,
                                re.MULTILINE))
        wanted |= set(re.findall(r"^\t(SHMBUS_\w+) = \d+,", enums + self.layout, re.MULTILINE))
        wanted.discard("SHMBUS_LABEL_WORDS")
        rows = manual.tables(dict(manual.sections("shmbus-layout.5", 1))["CONSTANTS"])[0][1:]
        self.assertEqual({row[0] for row in rows}, wanted)

    def test_tag(self):
        """The tag's bits in the page are those that the macros make."""
        bits = {row[1]: row[0] for row in manual.tables(
            dict(manual.sections("shmbus-layout.5", 2))["tag"])[0][1:]}
        values = self.computed([
            "SHMBUS_TAG_PHASE", "SHMBUS_TAG_TICKS",
            "(uint64_t)SHMBUS_TAG_METRIC_MASK << SHMBUS_TAG_METRIC_SHIFT",
            "shmbus_tag_make(0, 0, UINT64_MAX)"])
        for field, value in zip(("phase", "ticks", "metric", "time"), values):
            low, _, high = bits[field].partition("-")
            mask = (2 << int(high or low)) - (1 << int(low))
            self.assertEqual(mask, value, field)

    def test_edges(self):
        """Every named edge of the sources between two processes stands in the page, no other."""
        edges = r"\b([RA](?:-[a-z]+|[12]))\b"
        library = source_of("libshm/include/shmbus/layout.h", "libshm/include/shmbus/ring.h",
                            "libshm/src/label.c")
        body = dict(manual.sections("shmbus-layout.5", 1))["MEMORY ORDER"]
        self.assertEqual(set(re.findall(edges, body)), set(re.findall(edges, library)))


DOCUMENT_EMPTY = {"totals": {"recent": {"sessions": 0}}}
KINDS = {"timer", "counter", "updown", "gauge", "stateset", "info"}
TYPES = {
    "text": lambda v: isinstance(v, str),
    "uint": lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 0,
    "int": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "real": lambda v: isinstance(v, float),
    "bool": lambda v: isinstance(v, bool),
    "map": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
}
# Maps whose keys a program chooses.
FREE = {"sessions[].labels", "metrics[].states"}


def place(path):
    """Where the page describes what stands at a path of the document."""
    path = re.sub(r"^(totals|sessions\[\])\.metrics", "metrics", path)
    path = re.sub(r"^metrics\[\]\.(target|period)\.worst", "worst", path)
    return re.sub(r"\.windows\.\w+", ".windows.*", path)


def walk(value, path=""):
    """(path of the map, key, value) of everything in a document."""
    if isinstance(value, list):
        for item in value:
            yield from walk(item, f"{path}[]")
    elif isinstance(value, dict) and place(path) not in FREE:
        for key, item in value.items():
            yield path, key, item
            yield from walk(item, f"{path}.{key}" if path else key)


class Snapshot(Bus):
    """shmbus-snapshot(5) against snapshots of a real agent, in which everything happens."""

    def described(self):
        """{place: {key: set of types}}"""
        found = {}
        for heading, body in manual.sections("shmbus-snapshot.5", 2):
            heading = re.sub(r"windows\.10s, .*", "windows.*", heading)
            for table in manual.tables(body):
                self.assertEqual(table[0], ["Key", "Type", "Unit", "Meaning"], heading)
                keys = found.setdefault("" if heading == "DOCUMENT" else heading, {})
                for row in table[1:]:
                    self.assertNotIn(row[0], keys, heading)
                    keys[row[0]] = set(row[1].split(", "))
        return found

    def example(self, directory, *before):
        """The example of shmbus(3), compiled and run: it has every kind of metric."""
        body = dict(manual.sections("shmbus.3", 1))["EXAMPLE"]
        source = re.search(r"```\n(.*?)```", body, re.DOTALL)[1].replace("\\\\", "\\")
        program = compiled(source, f"{directory}/example", f"-L{BUILD}/lib", "-lshmbus",
                           f"-Wl,-rpath,{BUILD}/lib")
        subprocess.run([*before, program], env=self.env, check=True, timeout=60)

    def forge(self):
        """A segment of another layout version, which is refused."""
        with open(f"/dev/shm/shmbus.{self.bus}.s.00000000000000aa", "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(struct.pack("<QI4084x", 0x0a0d5355424d4853, 9 << 16))

    def sound(self, path):
        """A second of silence."""
        with wave.open(path, "wb") as file:
            file.setparams((1, 2, 48000, 48000, "NONE", ""))
            file.writeframes(bytes(2 * 48000))
        return path

    def everything(self, directory):
        """A document in which every kind of thing has happened."""
        self.agent("--stale-after", "100ms")
        self.forge()
        self.example(directory)
        player = self.start("shmbus-player", "--quiet", self.sound(f"{directory}/silence.wav"))
        lost = self.producer("--id", "cut", "--count", "10", "--hold")
        self.report(lost)
        segment = self.wait_for(lambda: self.session("cut"), "a session", 30)["segment"]
        os.truncate(f"/dev/shm{segment}", 8192)
        self.wait_for(lambda: self.session("cut", "lost"), "the damaged session", 30)

        def played():
            if not (self.snapshot() or DOCUMENT_EMPTY)["totals"]["recent"]["sessions"]:
                return False
            for session in (self.snapshot() or {}).get("sessions", []):
                if session["service"] != "player" or "process_rss_bytes" not in session["memory"]:
                    continue
                cycles = [m for m in session["metrics"] if m["name"] == "cycle" and m["count"]]
                return any("p99" in m["windows"]["10s"] for m in cycles)
            return False
        self.wait_for(played, "a second of play", seconds=60)
        document = self.snapshot()
        self.stop(player)
        return document

    def test_keys(self):
        with tempfile.TemporaryDirectory() as directory:
            document = self.everything(directory)
        self.assertEqual({m["kind"] for s in document["sessions"] for m in s["metrics"]}, KINDS)
        self.assertEqual({m["kind"] for m in document["totals"]["metrics"]}, KINDS)
        described = self.described()
        seen = set()
        for path, key, value in walk(document):
            types = described.get(place(path), {}).get(key)
            self.assertIsNotNone(types, f"{path}: {key} is not described")
            self.assertTrue(any(TYPES[t](value) for t in types), f"{path}.{key}: {value!r}")
            seen.add((place(path), key))

        source = source_of("agent/encode.c", "agent/encode_metric.c", "agent/rejects.c")
        for where, keys in described.items():
            for key in keys:
                if (where, key) not in seen:
                    self.assertIn(f'"{key}"', source, f"{where}: {key} is never there")
                    self.assertEqual(where, "agent.rejected", f"{where}: {key} was not seen")

    def locked(self, number, *before):
        """Whether the example's memory was locked, as a snapshot has it: the session's number."""
        with tempfile.TemporaryDirectory() as directory:
            self.example(directory, *before)
        sessions = self.wait_for(
            lambda: (s := self.snapshot()) and len(s["sessions"]) == number and s["sessions"],
            "the example's session", 30)
        return sessions[-1]["memory"].get("locked")

    @unittest.skipIf(SANITIZE, "AddressSanitizer lets no mlock() through to the kernel")
    @unittest.skipUnless(shutil.which("prlimit") and shutil.which("setpriv"), "needs util-linux")
    def test_locked(self):
        self.agent()
        drop = ["setpriv", "--bounding-set", "-ipc_lock"] if os.geteuid() == 0 else []
        self.assertIs(self.locked(1, "prlimit", "--memlock=0", *drop), False)
        if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] >= 4 << 20:
            self.assertIs(self.locked(2), True)
        self.report(self.producer("--id", "plain", "--count", "1", "--hold"))
        session = self.wait_for(lambda: self.session("plain"), "a session", 30)
        self.assertNotIn("locked", session["memory"])

    def test_examples(self):
        """The page's own examples run, where jq is there."""
        if shutil.which("jq") is None:
            self.skipTest("jq is not installed")
        self.agent()
        self.report(self.producer("--count", "10"))
        self.wait_for(lambda: (s := self.snapshot()) and s["sessions"], "a session", 30)
        body = dict(manual.sections("shmbus-snapshot.5", 1))["EXAMPLES"]
        script = re.search(r"```\n(.*?)```", body, re.DOTALL)[1]
        result = subprocess.run(["sh", "-ec", script], text=True, capture_output=True, timeout=60,
                                env=dict(self.env, PATH=f"{BIN}:{os.environ['PATH']}"),
                                check=False)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "true\n", ""))


class Options(Bus):
    """--help against the pages."""

    def help(self, program, *arguments):
        result = self.run_tool(program, *arguments, "--help")
        self.assertEqual((result.returncode, result.stderr), (0, ""), program)
        return result.stdout

    def help_options(self, *command):
        """The options that stand in a help."""
        return set(re.findall(r"(?<![\w-])(--?[A-Za-z][\w-]*)", self.help(*command)))

    def test_programs(self):
        """The programs without sub-commands."""
        names = {p for p in os.listdir(BIN) if p.startswith("shmbus-") and
                 f"{p}.1" in manual.pages()}
        self.assertLessEqual({"shmbus-agent", "shmbus-player"}, names)
        for name in sorted(names):
            self.assertEqual(manual.options(dict(manual.sections(f"{name}.1", 1))["OPTIONS"]),
                             self.help_options(name), name)

    def test_shmbus(self):
        page = dict(manual.sections("shmbus.1", 1))
        commands = re.findall(r"^  (\w+) ", self.help("shmbus"), re.MULTILINE)
        self.assertGreater(len(commands), 4)
        common = manual.options(page["OPTIONS"])
        self.assertEqual(common, self.help_options("shmbus"))
        for command in commands:
            own = self.help_options("shmbus", command) - common
            described = manual.options(page.get(command.upper(), ""))
            if own:
                self.assertEqual(described - common, own, command)
            synopsis = [line for line in page["SYNOPSIS"].splitlines() if f"*{command}*" in line]
            self.assertEqual(len(synopsis), 1, command)
            self.assertLessEqual(manual.options(synopsis[0]), own | common, command)

    def test_messages(self):
        """What the agent can say on standard error stands in its page."""
        body = manual.plain(dict(manual.sections("shmbus-agent.1", 1))["DIAGNOSTICS"])
        agent = sorted(f for f in os.listdir(f"{SOURCE}/agent") if f.endswith(".c"))
        said = re.findall(r'log_(?:line|detail)\(\s*"([^"%]+)', source_of(
            *[f"agent/{file}" for file in agent]))
        self.assertGreater(len(said), 12)
        for words in said:
            self.assertIn(words.rstrip(" ,:("), body)


class Pages(unittest.TestCase):
    """The pages as they are made."""

    def made(self):
        found = [f"{BUILD}/man/man{name[-1]}/{name}" for name in sorted(manual.pages())]
        if not os.path.isdir(f"{BUILD}/man"):
            self.skipTest("scdoc was not installed when this was built")
        for path in found:
            self.assertTrue(os.path.isfile(path), path)
        self.assertGreater(len(found), 10)
        return found

    def need(self, tool):
        if shutil.which(tool) is None:
            self.skipTest(f"{tool} is not installed")

    def lines(self, *command):
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False,
                                env=dict(os.environ, LC_ALL="C.UTF-8", MANWIDTH="80"))
        return result.stdout.splitlines(), result.stderr.splitlines()

    def test_groff(self):
        """Every warning that groff has, and no line wider than a terminal."""
        self.need("groff")
        for path in self.made():
            shown, warnings = self.lines("groff", "-man", "-t", "-K", "utf8", "-T", "utf8", "-ww",
                                         "-P", "-cbou", "-rLL=78n", path)
            self.assertEqual(warnings, [], path)
            self.assertGreater(len(shown), 20, path)
            for line in shown:
                self.assertLessEqual(len(line), 80, f"{path}: {line}")

    def test_mandoc(self):
        """mandoc has no objection but to what scdoc itself does."""
        self.need("mandoc")
        usual = r"skipping paragraph macro|lower case character in document title|longer than 80"
        for path in self.made():
            said, _ = self.lines("mandoc", "-T", "lint", path)
            self.assertEqual([line for line in said if not re.search(usual, line)], [], path)

    def test_see_also(self):
        """No page refers to a page of shmbus that is not there."""
        self.made()
        for name in manual.pages():
            for page, section in re.findall(r"\*(shmbus[\w-]*)\*\((\d)\)", manual.text(name)):
                path = f"{BUILD}/man/man{section}/{page}.{section}"
                self.assertTrue(os.path.isfile(path), f"{name}: {page}({section})")

    def test_functions(self):
        """Every function that a producer or a reader may call is found under its name."""
        self.made()
        headers = source_of(*[f"libshm/include/shmbus/{h}.h"
                              for h in ("producer", "clock", "snapshot")])
        functions = set(re.findall(r"^(?:SHMBUS_PUBLIC|static inline) [\w \n]*?\*?"
                                   r"(shmbus_[a-z]\w*)\(", headers, re.MULTILINE))
        self.assertGreater(len(functions), 25)
        for function in functions:
            path = f"{BUILD}/man/man3/{function}.3"
            self.assertTrue(os.path.isfile(path), function)
            with open(path, encoding="utf-8") as file:
                match = re.match(r"\.so (man3/\S+)", file.read())
            self.assertTrue(not match or os.path.isfile(f"{BUILD}/man/{match[1]}"), function)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: MIT
"""The live page: its files as the gateway serves them, and the page itself in Chromium."""

import gzip
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest
import wave

from bus import BIN, BUILD
from gateway import Gateway

SOURCE = pathlib.Path(os.environ["SHMBUS_SOURCE"])
PAGE = SOURCE / "readers/gateway/page"
TOOLS = pathlib.Path(BUILD, "page-tools")
CHROMIUM = shutil.which("chromium")
SHOTS = os.environ.get("SHMBUS_PAGE_SHOTS")  # a folder: pictures of what the tests see go there
FILES = {"/": "index.html", "/app.js": "app.js", "/app.css": "app.css",
         "/licenses.txt": "licenses.txt"}
# How many pixels of the heat map are painted; counted in a copy, which is made to be read.
PAINTED = """
    const map = document.querySelector('canvas.heat');
    const copy = Object.assign(document.createElement('canvas'), {width: map.width, height: map.height});
    const context = copy.getContext('2d', {willReadFrequently: true});
    context.drawImage(map, 0, 0);
    return context.getImageData(0, 0, map.width, map.height).data.filter((n, i) => i % 4 == 3 && n > 0).length"""


def npm(*arguments):
    return subprocess.run(["npm", *arguments], cwd=TOOLS, text=True, capture_output=True,
                          timeout=300, check=False)


def tools():
    """Installs what drives the browser, as the lock file has it; says why where that cannot be."""
    for program in ("node", "npm", "chromium"):
        if shutil.which(program) is None:
            return f"there is no {program}"
    TOOLS.mkdir(exist_ok=True)
    wanted = (PAGE / "package-lock.json").read_bytes()
    installed = TOOLS / "installed"
    if installed.exists() and installed.read_bytes() == wanted:
        return None
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(PAGE / name, TOOLS)
    result = npm("ci")
    if result.returncode != 0:
        if npm("ping").returncode != 0:
            return "npm reaches no registry"
        raise RuntimeError(result.stderr)
    installed.write_bytes(wanted)
    return None


class Files(Gateway):
    def test_files(self):
        gateway = self.gateway()
        for path, name in FILES.items():
            wanted = (PAGE / "dist" / name).read_bytes()
            status, headers, body = self.get(gateway, path)
            self.assertEqual((status, body), (200, wanted), path)
            self.assertEqual(headers["x-content-type-options"], "nosniff")
            self.assertIn("default-src 'none'", headers["content-security-policy"])
            status, _, body = self.get(gateway, path,
                                       headers={"If-None-Match": headers["etag"]})
            self.assertEqual((status, body), (304, b""), path)
            _, headers, body = self.get(gateway, path, headers={"Accept-Encoding": "gzip"})
            self.assertEqual(headers["content-encoding"], "gzip")
            self.assertEqual(gzip.decompress(body), wanted)
            _, headers, body = self.get(gateway, path, method="HEAD")
            self.assertEqual((int(headers["content-length"]), body), (len(wanted), b""))

    def test_nothing_in_line(self):
        """The policy allows neither scripts nor styles in the page itself."""
        html = (PAGE / "dist/index.html").read_text(encoding="utf-8")
        self.assertNotIn("<style", html)
        self.assertNotRegex(html, r"<script>|\son\w+=|\sstyle=")
        self.assertIn("Leon Sorokin", (PAGE / "dist/licenses.txt").read_text(encoding="utf-8"))

    @unittest.skipIf(shutil.which("node") is None, "there is no node")
    def test_modules(self):
        """What needs no browser."""
        tests = sorted(str(path) for path in (PAGE / "test").glob("*.test.mjs"))
        result = subprocess.run(["node", "--test", *tests], text=True, capture_output=True,
                                timeout=120, check=False)
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertRegex(result.stdout, r"pass [1-9]\d")


class Browser(Gateway):
    @classmethod
    def setUpClass(cls):
        reason = tools()
        if reason is not None:
            raise unittest.SkipTest(reason)

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.sound = f"{folder.name}/noise.wav"
        with wave.open(self.sound, "wb") as file:
            file.setparams((1, 2, 48000, 0, "NONE", ""))
            file.writeframes(random.Random(1).randbytes(192000))
        self.driver = subprocess.Popen(
            ["node", str(SOURCE / "tests/e2e/page/drive.mjs"), str(TOOLS), CHROMIUM],
            env=self.env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def tearDown(self):
        self.driver.stdin.close()  # it ends the browser, and then itself
        try:
            self.driver.wait(timeout=60)
        finally:
            self.driver.kill()
            self.driver.stdout.close()
            super().tearDown()

    # ---- the browser ----

    def do(self, what, **more):
        self.driver.stdin.write(json.dumps({"do": what, **more}) + "\n")
        self.driver.stdin.flush()
        answer = json.loads(self.driver.stdout.readline())
        self.assertNotIn("error", answer, f"{what} {more}: {answer}")
        return answer["result"]

    def page(self, gateway, width=1440, height=900, scheme="dark", fragment=""):
        self.do("open", url=gateway.url + fragment, width=width, height=height, scheme=scheme)

    def ask(self, code):
        return self.do("ask", code=code)

    def text(self, selector):
        return self.ask(f"return document.querySelector({json.dumps(selector)})?.textContent")

    def cell(self, identity, column):
        return self.text(f'.row[data-id="{identity}"]:not([hidden]) .c-{column}')

    def sees(self, code, what, seconds=60):
        return self.wait_for(lambda: self.ask(code), what, seconds)

    def shot(self, name):
        if SHOTS:
            self.do("shot", file=f"{SHOTS}/{name}.png")

    def assert_clean(self):
        self.assertEqual(self.do("problems"), [])

    def assert_fits(self, width):
        self.assertLessEqual(self.ask("return document.documentElement.scrollWidth"), width)

    # ---- the bus ----

    def player(self, identity, *arguments):
        return self.start("shmbus-player", "--quiet", "--id", identity, *arguments, self.sound)

    def live(self, *identities, arguments=(), **options):
        """An agent, players, a gateway, and the page that shows them."""
        agent = self.agent()
        players = [self.player(identity) for identity in identities]
        for identity in identities:
            self.wait_for(lambda i=identity: (s := self.session(i)) and s["aggregated_total"] > 500,
                          f"{identity}'s samples")
        gateway = self.gateway(*arguments)
        self.page(gateway, **options)
        for identity in identities:
            self.sees(f"return document.querySelector('.row[data-id=\"{identity}\"]') !== null",
                      f"{identity}'s row")
        return agent, players, gateway


class Page(Browser):
    def test_lives(self):
        """Sessions are there, and their values move; a killed producer turns to lost; an agent
        that stops is stale in both."""
        agent, players, _ = self.live("studio", "victim")
        self.sees("return document.querySelector('#link').dataset.state === 'live'", "it to be live")
        self.assertIn("running", self.cell("studio", "state"))
        self.assertRegex(self.cell("studio", "p99"), r"^[0-9.]+ (ns|µs|ms|s)$")
        self.assertIn("2", self.text(".t-sessions .value"))
        before = self.text(".t-samples .note"), self.text("#seq")
        self.wait_for(lambda: all(now != then for now, then in
                                  zip((self.text(".t-samples .note"), self.text("#seq")), before)),
                      "the numbers to move")
        self.shot("overview-dark")

        self.stop(players[1], signal.SIGKILL)
        self.wait_for(lambda: "lost" in self.cell("victim", "state"), "the victim to be lost")
        self.assertIn("running", self.cell("studio", "state"))
        self.assert_fits(1440)
        self.assert_clean()

        self.suspend(agent)
        self.sees("return document.body.classList.contains('old')", "it to be stale")
        self.assertTrue(self.ask("const box = document.querySelector('#alarm').getBoundingClientRect();"
                                 "return box.width > 1000 && box.height > 20 && box.top >= 0"))
        self.assertIn("STALE", self.text("#alarm"))
        self.shot("stale-dark")
        agent.send_signal(signal.SIGCONT)
        self.sees("return document.querySelector('#link').dataset.state === 'live' &&"
                  " document.querySelector('#alarm').hidden", "it to be live again")
        self.stop(agent)
        self.sees("return document.body.classList.contains('old')", "it to be stale again")
        self.assert_clean()

    def test_gateway_gone(self):
        """A page without its gateway says so, and is back when it is."""
        _, _, gateway = self.live("studio")
        self.do("expect", patterns=["Failed to load resource", "ERR_"])
        self.stop(gateway)
        self.sees("return document.querySelector('#alarm-title').textContent === 'NO CONNECTION'"
                  " && !document.querySelector('#alarm').hidden", "the alarm")
        again = self.gateway(listen=(f"127.0.0.1:{gateway.port}",))
        self.assertEqual(again.port, gateway.port)
        self.sees("return document.querySelector('#link').dataset.state === 'live'", "it to be live",
                  seconds=90)
        self.assert_clean()

    def test_details(self):
        _, players, _ = self.live("studio", "other", scheme="light")
        self.do("click", at='.row[data-id="studio"]')
        self.sees("return document.querySelector('#detail h2').textContent === 'studio' &&"
                  " document.querySelectorAll('#detail .uplot canvas').length === 2", "the charts")
        few = self.wait_for(lambda: self.ask(PAINTED), "the heat map")
        self.wait_for(lambda: self.ask(PAINTED) > few + 100, "the heat map to grow")
        for words in ("Writers", "Targets and deadlines", "audio", "queue.depth"):
            self.assertIn(words, self.text("#detail"))
        self.assertIn("studio", self.session("studio")["id"])
        self.assertIn("session=", self.ask("return location.hash"))
        self.ask("const s = document.querySelector('#timer'); s.value = 'cycle';"
                 "s.dispatchEvent(new Event('change'))")
        self.sees("return document.querySelector('tr[data-chosen]')?.textContent.startsWith('cycle')",
                  "the other timer")
        self.shot("details-light")
        self.stop(players[0], signal.SIGKILL)
        self.sees("return document.querySelector('#detail .note').textContent.includes('No more')",
                  "the end of its stream")
        self.assertIn("lost", self.text("#detail .state"))
        self.do("press", key="Escape")
        self.sees("return document.querySelector('#detail').hidden", "the details to be closed")
        self.assert_clean()

    def test_services(self):
        """A service that cannot be reached fails, its stand-in becomes the active one."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        closed = socket.create_server(("127.0.0.1", 0))
        services = pathlib.Path(self.sound).with_name("gateway.ini")
        often = "interval = 0.5\ntimeout = 0.4\ngroup = asr\n"
        services.write_text(
            f"[service main]\nurl = tcp://127.0.0.1:{closed.getsockname()[1]}\n{often}"
            f"[service spare]\nurl = tcp://127.0.0.1:{listener.getsockname()[1]}\nrole = fallback\n{often}",
            encoding="utf-8")
        closed.close()
        self.live("studio", arguments=("--config", str(services)))
        chips = "[...document.querySelectorAll('.service')].map((chip) => chip.textContent)"
        self.wait_for(lambda: any("main" in one and "failed" in one for one in self.ask(f"return {chips}")),
                      "the service to fail")
        spare = next(one for one in self.ask(f"return {chips}") if "spare" in one)
        self.assertIn("healthy", spare)
        self.assertIn("active", spare)
        self.sees("return document.querySelector('.t-health').textContent.includes('1 failed')", "the verdict")
        self.assert_clean()

    def test_phone(self):
        self.live("studio", width=390, height=844, scheme="light")
        self.assert_fits(390)
        self.shot("phone-light")
        self.do("click", at='.row[data-id="studio"]')
        self.sees("return document.querySelectorAll('#detail .uplot canvas').length === 2", "the charts")
        self.assert_fits(390)
        self.assertEqual(self.ask("return document.querySelector('#detail').scrollWidth -"
                                  " document.querySelector('#detail').clientWidth"), 0)
        self.shot("phone-details-light")
        self.do("click", at=".back")
        self.sees("return document.querySelector('#detail').hidden", "the details to be closed")
        self.assert_clean()

    def test_keyboard(self):
        self.live("one", "two")
        self.do("press", key="/")
        self.do("type", text="tWo")
        self.sees("return document.querySelectorAll('.rows .row:not([hidden])').length === 1", "the filter")
        self.do("press", key="Escape")
        self.sees("return document.querySelectorAll('.rows .row:not([hidden])').length === 2", "all of them")
        self.do("press", key="j")
        self.do("press", key="j")
        chosen = "document.querySelector('.row[aria-selected=true]')"
        self.sees(f"return {chosen}?.dataset.id === 'two'", "the second to be selected")
        self.assertEqual(self.ask("return document.querySelector('#sessions').getAttribute('aria-activedescendant')"),
                         self.ask(f"return {chosen}.id"))
        self.do("press", key="k")
        self.do("press", key="Enter")
        self.sees("return document.querySelector('#detail h2').textContent === 'one'", "the first's details")
        self.do("press", key="Escape")
        self.sees("return document.querySelector('#detail').hidden", "the details to be closed")
        theme = "return document.documentElement.dataset.theme"
        self.assertEqual(self.ask(theme), "dark")
        self.do("press", key="t")
        self.assertEqual(self.ask(theme), "light")
        self.assertEqual(self.ask("return localStorage.getItem('shmbus.theme')"), "light")
        self.do("press", key="?")
        self.assertTrue(self.ask("return document.querySelector('#help').open"))
        self.do("press", key="Escape")
        self.sees("return !document.querySelector('#help').open", "the help to be closed")
        self.assert_clean()

    def test_hostile_texts(self):
        """What the bus names is text, whatever it looks like."""
        name = "<img src=x onerror=alert(1)>"
        self.agent()
        self.player(name, "--label", "x=<svg onload=alert(1)>")
        self.wait_for(lambda: self.session(name), "the session")
        gateway = self.gateway()
        self.page(gateway)
        self.sees(f"return document.querySelector('.row')?.dataset.id === {json.dumps(name)} ||"
                  f" document.querySelector('.rows .row .name b')?.textContent === {json.dumps(name)}",
                  "its row")
        self.do("click", at=".rows .row")
        self.sees("return document.querySelector('.labels').textContent.includes('<svg onload=alert(1)>')",
                  "its label")
        self.assertEqual(self.ask("return document.querySelectorAll('#main img, .labels svg, #sessions svg').length"), 0)
        self.assert_clean()


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: MIT
"""What the library is to others: its symbols, what it needs, and its installed packages."""

import os
import pathlib
import re
import shlex
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ["SHMBUS_BUILD"])
SOURCE = pathlib.Path(os.environ["SHMBUS_SOURCE"])
CC = os.environ["SHMBUS_CC"]
LIBRARY = BUILD / "lib" / "libshmbus.so"

PROGRAM = """
#include <shmbus/producer.h>
#include <stdio.h>
int main(void)
{
    struct shmbus_session *session;
    int error = shmbus_session_open(NULL, &session);
    shmbus_session_close(session);
    puts(shmbus_version());
    return error != 0 || shmbus_now() == 0;
}
"""

PROJECT = """
cmake_minimum_required(VERSION 3.25)
project(consumer C)
find_package(shmbus 0.1 REQUIRED)
foreach(library shmbus shmbus_static)
    add_executable(with_${library} main.c)
    target_link_libraries(with_${library} PRIVATE shmbus::${library})
endforeach()
"""


def run(*command, **options):
    result = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )
    if result.returncode:
        raise AssertionError(f"{shlex.join(result.args)}: {result.returncode}\n{result.stdout}")
    return result.stdout


class Binary(unittest.TestCase):
    def test_needs_the_c_library_alone(self):
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-dW", LIBRARY))
        # The dynamic linker is a part of the C library; thread-local variables name it.
        others = [n for n in needed if not re.match(r"(libc|ld-linux.*)\.so\.\d+$", n)]
        self.assertEqual(others, [])
        self.assertIn("libc.so.6", needed)

    def test_name_carries_the_version(self):
        self.assertRegex(run("readelf", "-dW", LIBRARY), r"SONAME.*\[libshmbus\.so\.0\]")

    def test_exports_what_the_headers_declare(self):
        declared = set()
        for header in (SOURCE / "libshm/include/shmbus").glob("*.h"):
            for text in re.findall(r"^SHMBUS_PUBLIC ([^;]*);", header.read_text(), re.MULTILINE):
                declared.add(re.search(r"\b(shmbus_\w+)\s*(\(|$)", text)[1])
        lines = run("nm", "-D", "--defined-only", LIBRARY).splitlines()
        exported = {line.split()[-1].split("@")[0] for line in lines if " A " not in line}
        self.assertEqual(exported, declared)


class Prefix(unittest.TestCase):
    """An installed tree, moved after its installation; also for other files' tests."""

    scratch_prefix = "shmbus "

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix=cls.scratch_prefix)
        cls.root = pathlib.Path(cls.scratch.name)
        run("cmake", "--install", BUILD, "--prefix", cls.root / "first")
        cls.prefix = cls.root / "moved"
        (cls.root / "first").rename(cls.prefix)
        cls.libdir = next(cls.prefix.rglob("libshmbus.so")).parent
        cls.env = dict(os.environ, LD_LIBRARY_PATH=str(cls.libdir))

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()


class Installed(Prefix):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        (cls.root / "main.c").write_text(PROGRAM)

    def test_cmake_package(self):
        (self.root / "CMakeLists.txt").write_text(PROJECT)
        build = self.root / "build"
        run("cmake", "-S", self.root, "-B", build, "-G", "Ninja",
            f"-DCMAKE_PREFIX_PATH={self.prefix}", f"-DCMAKE_C_COMPILER={CC}")
        run("cmake", "--build", build)
        for program in ("with_shmbus", "with_shmbus_static"):
            self.assertEqual(run(build / program), "0.1.0\n")

    def test_pkg_config(self):
        env = dict(self.env, PKG_CONFIG_PATH=str(self.libdir / "pkgconfig"))
        flags = run("pkg-config", "--cflags", "--libs", "shmbus", env=env)
        program = self.root / "program"
        run(CC, "-std=c11", self.root / "main.c", "-o", program, *shlex.split(flags))
        self.assertEqual(run(program, env=self.env), "0.1.0\n")
        self.assertEqual(run("pkg-config", "--modversion", "shmbus", env=env), "0.1.0\n")

    def test_names_no_build_directory(self):
        for path in self.prefix.rglob("*"):
            if path.suffix in (".cmake", ".pc", ".h"):
                text = path.read_text()
                self.assertNotIn(str(SOURCE), text, path)
                self.assertNotIn(str(self.root), text, path)

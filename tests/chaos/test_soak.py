# SPDX-License-Identifier: MIT
"""A short form of ./dev soak."""

import unittest

import programs


class Soak(unittest.TestCase):
    def test_minute(self):
        programs.check(self, "soak.py")


if __name__ == "__main__":
    unittest.main()

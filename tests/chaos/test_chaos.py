# SPDX-License-Identifier: MIT
"""Short forms of ./dev chaos; a seed that failed is in what they print."""

import unittest

import programs


class Chaos(unittest.TestCase):
    def test_rounds(self):
        programs.check(self, "chaos.py", "--rounds", "8", "--verbose")

    def test_storm(self):
        """Whether a busy machine drops samples is not asked, only whether the account is right."""
        programs.check(self, "chaos.py", "storm", "--seconds", "8", "--may-drop")

    def test_comers(self):
        programs.check(self, "chaos.py", "comers", "--seconds", "10")


if __name__ == "__main__":
    unittest.main()

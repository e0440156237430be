# SPDX-License-Identifier: MIT
"""What the tests of the readers share."""

from bus import Bus, metric


class Readers(Bus):
    def shmbus(self, *arguments, status=0):
        result = self.run_tool("shmbus", *arguments)
        self.assertEqual(result.returncode, status, f"{arguments}: {result}")
        return result

    def held(self, identity, *arguments):
        """A producer that has recorded all and stays."""
        producer = self.producer("--id", identity, "--count", "1000", "--hold", *arguments)
        self.report(producer)
        return producer

    def aggregated(self, identity, count=1000):
        return self.wait_for(lambda: (s := self.session(identity)) and
                             s["aggregated_total"] == count and s, f"{identity}'s samples")

    def every(self):
        """A session with every kind, with all that the agent finds out by and by."""
        producer = self.held("every", "--every")
        self.wait_for(lambda: (s := self.session("every")) and "cpu_ratio" in s and
                      "process_rss_bytes" in s["memory"] and s["aggregated_total"] == 1400 and
                      metric(s, "depth").get("value") == 7, "the whole session")
        return producer

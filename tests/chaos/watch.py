# SPDX-License-Identifier: MIT
"""What must hold from one snapshot to the next, whatever happens in between."""


def totals_of(snapshot):
    """All that never goes back."""
    totals, agent = snapshot["totals"], snapshot["agent"]
    found = {key: totals[key] for key in ("sessions_total", "sessions_ended", "sessions_lost",
                                          "dropped_total", "overflow_total")}
    found["samples_total"] = agent["samples_total"]
    found["incarnation"] = agent["incarnation"]
    for metric in totals["metrics"]:
        if metric["kind"] == "timer":
            found[metric["name"], "count"] = metric["count"]
            found[metric["name"], "sum"] = metric.get("sum", 0)
            found[metric["name"], "max"] = metric.get("max", 0)
        elif metric["kind"] == "counter":
            found[metric["name"]] = metric["value"]
    return found


class Watch:
    def __init__(self):
        self.seq = 0
        self.time_unix_ns = 0
        self.totals = {}
        self.sessions = {}  # what was taken of each
        self.agents = {}  # by incarnation

    def look(self, snapshot):
        """Returns what is wrong."""
        found = []
        agent = snapshot["agent"]
        if snapshot["seq"] == self.seq:
            return found
        if snapshot["seq"] < self.seq:
            found.append(f"seq went back from {self.seq} to {snapshot['seq']}")
        self.seq = snapshot["seq"]
        totals = totals_of(snapshot)
        for key, value in self.totals.items():
            if totals.get(key, 0) < value:
                found.append(f"{key} went back from {value} to {totals.get(key)}")
        self.totals = totals
        who = (agent["pid"], agent["start_time_unix_ns"])
        if self.agents.setdefault(agent["incarnation"], who) != who:
            found.append(f"two agents of incarnation {agent['incarnation']}")
        return found + self.look_sessions(snapshot)

    def look_sessions(self, snapshot):
        found = []
        sessions = {}
        for session in snapshot["sessions"]:
            name = session["id"]
            taken = session["aggregated_total"]
            sessions[name] = taken
            if taken < self.sessions.get(name, 0):
                found.append(f"session {name} went back from {self.sessions[name]} to {taken}")
            for writer in session["writers"]:
                if writer["recorded"] != writer["aggregated"] + writer["used"]:
                    found.append(f"session {name}: recorded {writer['recorded']} is not "
                                 f"aggregated {writer['aggregated']} + used {writer['used']}")
        self.sessions = sessions
        return found

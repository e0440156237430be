/* SPDX-License-Identifier: MIT */
/* python.c - what a Python program would do: a bounded deque behind a lock, with a timestamp. */
#include <stdio.h>
#include <string.h>

#include "peer.h"

static const char program[] = "import collections, sys, threading, time\n"
			      "samples = collections.deque(maxlen=16384)\n"
			      "lock = threading.Lock()\n"
			      "def record(value):\n"
			      "    with lock:\n"
			      "        samples.append((time.perf_counter_ns(), value))\n"
			      "for line in sys.stdin:\n"
			      "    count = int(line)\n"
			      "    start = time.perf_counter_ns()\n"
			      "    for i in range(count):\n"
			      "        record(i)\n"
			      "    print(time.perf_counter_ns() - start, flush=True)\n";

static struct peer_child child;

static int python_open(char *reason, size_t size)
{
	char source[sizeof(program)], name[] = "python3", option[] = "-c";
	char *argv[] = {name, option, source, NULL};
	double ns;

	memcpy(source, program, sizeof(program));
	if (peer_child_start(&child, argv) == 0 && peer_child_run(&child, 1000, &ns) == 0)
		return 0;
	snprintf(reason, size, "python3 does not run");
	peer_child_stop(&child);
	return -1;
}

static int python_run(uint32_t events, double *ns)
{
	return peer_child_run(&child, events, ns);
}

static void python_close(void)
{
	peer_child_stop(&child);
}

const struct peer peer_python = {python_open, python_run, python_close};

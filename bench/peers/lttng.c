/* SPDX-License-Identifier: MIT */
/*
 * lttng.c - an LTTng-UST tracepoint with the same two numbers, into the rings of a flight
 * recorder: nobody writes them to a disk. The session daemon is started for it, and stopped.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "peer.h"

static const char template[] = "/tmp/shmbus-bench-lttng-XXXXXX";
static char directory[sizeof(template)];
static struct peer_child child;
static bool daemon_started;

__attribute__((format(printf, 1, 2))) static int shell(const char *format, ...)
{
	char command[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	return system(command);
}

/* Ends the daemon that this started, by the number that it wrote down, and waits for it. */
static void daemon_stop(void)
{
	shell("d=%s; lttng --no-sessiond destroy shmbus-bench; read -r p <$d/pid && kill $p && "
	      "for i in $(seq 100); do kill -0 $p || break; sleep 0.1; done",
	      directory);
	daemon_started = false;
}

static void lttng_close(void)
{
	if (child.pid > 0)
		peer_child_stop(&child);
	if (daemon_started)
		daemon_stop();
	if (directory[0] != '\0')
		shell("rm -rf %s", directory);
	directory[0] = '\0';
}

static int daemon_start(char *reason, size_t size)
{
	if (shell("command -v lttng && command -v lttng-sessiond") != 0) {
		snprintf(reason, size, "lttng-tools is not installed");
		return -1;
	}
	if (shell("lttng --no-sessiond list") == 0) {
		snprintf(reason, size, "a session daemon runs already; it is left alone");
		return -1;
	}
	if (shell("lttng-sessiond --daemonize --no-kernel --pidfile=%s/pid", directory) != 0) {
		snprintf(reason, size, "the session daemon does not start");
		return -1;
	}
	daemon_started = true;
	if (shell("lttng --no-sessiond create shmbus-bench --snapshot --output=%s/out && "
		  "lttng --no-sessiond enable-channel -u -s shmbus-bench --overwrite "
		  "--subbuf-size=1M --num-subbuf=4 bench && "
		  "lttng --no-sessiond enable-event -u -s shmbus-bench -c bench "
		  "shmbus_bench:sample && lttng --no-sessiond start shmbus-bench",
		  directory) == 0)
		return 0;
	snprintf(reason, size, "its session could not be made");
	return -1;
}

/* The traced program lies beside this one. */
static int program_start(void)
{
	char path[4096];
	char *argv[] = {path, NULL};
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - sizeof("-lttng"));
	double ns;

	if (length < 0)
		return -1;
	memcpy(path + length, "-lttng", sizeof("-lttng"));
	if (peer_child_start(&child, argv) != 0)
		return -1;
	return peer_child_run(&child, 1000, &ns);
}

/* What these commands say is of no use here. */
static int quietly(int (*function)(char *reason, size_t size), char *reason, size_t size)
{
	int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC), result;

	fflush(stdout);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	result = function(reason, size);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	close(null);
	return result;
}

static int quiet_open(char *reason, size_t size)
{
	memcpy(directory, template, sizeof(directory));
	if (!mkdtemp(directory)) {
		directory[0] = '\0';
		snprintf(reason, size, "no directory for it");
		return -1;
	}
	setenv("LTTNG_HOME", directory, 1);
	setenv("LTTNG_UST_REGISTER_TIMEOUT", "-1", 1);
	if (daemon_start(reason, size) == 0) {
		if (program_start() == 0)
			return 0;
		snprintf(reason, size, "the tracepoint was never switched on");
	}
	lttng_close();
	return -1;
}

static int quiet_close(char *reason, size_t size)
{
	(void)reason;
	(void)size;
	lttng_close();
	return 0;
}

static int peer_open(char *reason, size_t size)
{
	return quietly(quiet_open, reason, size);
}

static int peer_run(uint32_t events, double *ns)
{
	return peer_child_run(&child, events, ns);
}

static void peer_close(void)
{
	quietly(quiet_close, NULL, 0);
}

const struct peer peer_lttng = {peer_open, peer_run, peer_close};

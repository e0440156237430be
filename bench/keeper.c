/* SPDX-License-Identifier: MIT */
#include "keeper.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <shmbus/layout.h>

#include "bench.h"

#define REST_S 5 /* for processes to end whose parent has; a daemon of another's may stay */

static int status_of(int ended)
{
	return WIFSIGNALED(ended) ? 128 + WTERMSIG(ended) : WEXITSTATUS(ended);
}

/* Waits for the process, and hands on what it is told to end with. */
static int child_wait(pid_t child, const sigset_t *signals)
{
	pid_t ended;
	int status, signal;

	for (;;) {
		signal = sigwaitinfo(signals, NULL);
		if (signal > 0 && signal != SIGCHLD)
			kill(child, SIGTERM);
		while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
			if (ended == child)
				return status_of(status);
	}
}

/* An agent ends when it has saved what it has: what is removed before would be there again. */
static void rest_wait(const sigset_t *signals)
{
	const struct timespec rest = {.tv_sec = REST_S};
	pid_t ended;

	for (;;) {
		while ((ended = waitpid(-1, NULL, WNOHANG)) > 0)
			continue;
		if (ended < 0 || sigtimedwait(signals, NULL, &rest) < 0)
			return;
	}
}

static void remove_all(pid_t child)
{
	char bus[SHMBUS_BUS_SIZE], prefix[sizeof(bus) + sizeof(SHMBUS_PREFIX)];
	size_t length;
	struct dirent *entry;
	DIR *directory = opendir("/dev/shm");

	if (directory == NULL)
		return;
	bench_bus_name_of(child, bus, sizeof(bus));
	length = (size_t)snprintf(prefix, sizeof(prefix), SHMBUS_PREFIX "%s", bus);
	while ((entry = readdir(directory)) != NULL)
		if (strncmp(entry->d_name, prefix, length) == 0 &&
		    !isdigit((unsigned char)entry->d_name[length]))
			unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
}

int keeper_run(int (*body)(void *data), void *data)
{
	sigset_t signals, before;
	pid_t child;
	int status;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, &before);
	signal(SIGCHLD, SIG_DFL); /* where it is ignored nobody hears of an end */
	/* What the process leaves behind becomes a child of this one. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	child = fork();
	if (child < 0) {
		fprintf(stderr, "shmbus-bench: %s\n", strerror(errno));
		return 1;
	}
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		sigprocmask(SIG_SETMASK, &before, NULL);
		exit(body(data));
	}
	status = child_wait(child, &signals);
	rest_wait(&signals);
	remove_all(child);
	return status;
}

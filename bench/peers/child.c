/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer.h"

int peer_child_start(struct peer_child *child, char *const argv[])
{
	int to[2], from[2];

	if (pipe2(to, O_CLOEXEC) != 0)
		return -1;
	if (pipe2(from, O_CLOEXEC) != 0) {
		close(to[0]);
		close(to[1]);
		return -1;
	}
	child->pid = fork();
	if (child->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(to[0], STDIN_FILENO);
		dup2(from[1], STDOUT_FILENO);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	child->to = to[1];
	child->from = from[0];
	return child->pid > 0 ? 0 : -1;
}

int peer_child_run(const struct peer_child *child, uint32_t events, double *ns)
{
	char line[64];
	size_t used = 0;
	ssize_t got;

	snprintf(line, sizeof(line), "%u\n", events);
	/* One that is gone must not take this process with it. */
	signal(SIGPIPE, SIG_IGN);
	if (write(child->to, line, strlen(line)) != (ssize_t)strlen(line))
		return -1;
	do {
		got = read(child->from, line + used, sizeof(line) - 1 - used);
		if (got <= 0)
			return -1;
		used += (size_t)got;
	} while (used < sizeof(line) - 1 && line[used - 1] != '\n');
	line[used] = '\0';
	*ns = strtod(line, NULL) / events;
	return *ns > 0 ? 0 : -1;
}

void peer_child_stop(struct peer_child *child)
{
	close(child->to); /* the end of its input ends it */
	close(child->from);
	if (child->pid > 0)
		waitpid(child->pid, NULL, 0);
	child->pid = 0;
}

/* SPDX-License-Identifier: MIT */
/* main.c - start the threads, wait for a signal, stop them in order. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent.h"
#include "buslock.h"
#include "confine.h"
#include "heap.h"
#include "log.h"

/* Each session takes a descriptor. */
static void descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* Whoever starts the agent without standard descriptors must not find its lines in shared memory:
 * the next file that is opened would get number 2. */
static bool descriptors_fill(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return false;
	return true;
}

/* Before any thread exists, liburcu's own included, so that sigwait() gets the signals. */
static void signals_block(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int run(struct agent *agent, const sigset_t *signals)
{
	int got = 0, error = agent_start(agent);

	if (error != 0)
		log_line("cannot start a thread: %s", strerror(-error));
	while (error == 0 && got != SIGTERM && got != SIGINT)
		sigwait(signals, &got);
	agent_stop(agent);
	return error != 0 || atomic_load(&agent->failed) ? 1 : 0;
}

static int lock_or_explain(const struct options *options)
{
	char holder[96];
	int fd = options->handover ? buslock_take_over(options->bus, holder, sizeof holder)
				   : buslock_take(options->bus, holder, sizeof holder);

	if (fd == -ETIMEDOUT)
		log_line("the agent that has this bus (%s) does not give it up: stop it", holder);
	else if (fd == -EBUSY)
		log_line("another agent has this bus (%s): stop it, or choose another --bus",
			 holder[0] != '\0' ? holder : "it has not said who it is");
	else if (fd < 0)
		log_line("cannot take /dev/shm/shmbus.%s.agent: %s", options->bus, strerror(-fd));
	return fd;
}

/* An agent from taking the bus to giving it back. Returns the exit status. */
static int serve(struct agent *agent, const struct options *options, const sigset_t *signals)
{
	int error, status, lock_fd = -1;

	descriptors_raise();
	/* Before there is a second thread, and before anything that others wrote is read. */
	log_hold();
	confine(options);
	error = log_start();
	if (error == 0)
		error = agent_init(agent, options);
	/* An agent has somewhat less in its heap than in its checkpoint. */
	heap_expect(store_size(options->bus) / 4 * 3, options->handover);
	/* As late as can be: from here on until its threads run nobody drains. */
	if (error == 0) {
		lock_fd = lock_or_explain(options);
		if (lock_fd < 0) {
			agent_free(agent);
			return 1;
		}
		error = agent_take_up(agent);
		heap_settle();
	}
	if (error != 0) {
		log_line("cannot start: %s", strerror(-error));
		return 1;
	}
	log_line("version %s, pid %d, a snapshot every %llu ms", SHMBUS_VERSION_STRING,
		 (int)getpid(), (unsigned long long)(options->interval_ns / 1000000));
	status = run(agent, signals);
	/* What is written is written: the next one need not wait for the rest. */
	close(lock_fd);
	agent_free(agent);
	log_line("stopped");
	return status;
}

int main(int argc, char **argv)
{
	static struct agent agent;
	struct options options;
	sigset_t signals;
	int status;

	if (!descriptors_fill())
		return 1; /* there may be nowhere to say so */
	switch (options_parse(argc, argv, &options)) {
	case OPTIONS_EXIT_OK:
		return 0;
	case OPTIONS_EXIT_USAGE:
		return 2;
	case OPTIONS_RUN:
		break;
	}
	log_setup(agent.options.bus, options.verbose);
	memcpy(agent.options.bus, options.bus, sizeof options.bus);
	heap_begin();
	signals_block(&signals);
	counter_begin(&agent.counter);
	/* It lasts some milliseconds, in which another agent may still work. */
	if (options.handover)
		counter_wait(&agent.counter);
	status = serve(&agent, &options, &signals);
	log_stop();
	return status;
}

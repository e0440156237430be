/* SPDX-License-Identifier: MIT */
/* main.c - start the threads, wait for a signal, stop them in order. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent.h"
#include "buslock.h"
#include "guard.h"
#include "log.h"
#include "restore.h"

/* Each session takes a descriptor. */
static void descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

void agent_fail(struct agent *agent)
{
	atomic_store_explicit(&agent->failed, true, memory_order_relaxed);
	kill(getpid(), SIGTERM);
}

static int agent_init(struct agent *agent, const struct options *options)
{
	int error;

	agent->options = *options;
	agent->start_time_unix_ns = clock_unix_ns();
	event_init(&agent->drain_event);
	event_init(&agent->publish_event);
	event_init(&agent->reap_event);
	hints_init(&agent->hints);
	rejects_init(&agent->rejects);
	agent->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (agent->stop_fd < 0)
		return -errno;
	error = registry_init(&agent->registry);
	if (error == 0)
		error = totals_init(&agent->totals, options->metrics_max, options->window);
	if (error == 0)
		error = guard_init();
	return error;
}

static void stop_all(struct agent *agent)
{
	uint64_t one = 1;

	atomic_store_explicit(&agent->stop, true, memory_order_release);
	if (write(agent->stop_fd, &one, sizeof one) < 0)
		log_line("cannot wake discovery: %s", strerror(errno));
	event_signal(&agent->drain_event);
	event_signal(&agent->publish_event);
	event_signal(&agent->reap_event);
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
	static void *(*const bodies[])(void *) = {drain_thread, publish_thread, reap_thread,
						  discover_thread};
	pthread_t threads[4];
	size_t started = 0;
	int error = 0, got = 0;

	for (; started < 4 && error == 0; started += error == 0)
		error = pthread_create(&threads[started], NULL, bodies[started], agent);
	if (error != 0) {
		log_line("cannot start a thread: %s", strerror(error));
		atomic_store(&agent->failed, true);
	}
	while (error == 0 && got != SIGTERM && got != SIGINT)
		sigwait(signals, &got);
	stop_all(agent);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	return atomic_load(&agent->failed) ? 1 : 0;
}

static int lock_or_explain(const struct options *options)
{
	char holder[96];
	int fd = buslock_take(options->bus, holder, sizeof holder);

	if (fd == -EBUSY)
		log_line("another agent has this bus (%s): stop it, or choose another --bus",
			 holder[0] != '\0' ? holder : "it has not said who it is");
	else if (fd < 0)
		log_line("cannot take /dev/shm/shmbus.%s.agent: %s", options->bus, strerror(-fd));
	return fd;
}

int main(int argc, char **argv)
{
	static struct agent agent;
	struct options options;
	sigset_t signals;
	int error, lock_fd, status;

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
	lock_fd = lock_or_explain(&options);
	if (lock_fd < 0)
		return 1;
	signals_block(&signals);
	descriptors_raise();
	error = agent_init(&agent, &options);
	if (error != 0) {
		log_line("cannot start: %s", strerror(-error));
		return 1;
	}
	rcu_register_thread();
	persist_open(&agent.persist, options.bus);
	restore(&agent);
	rcu_unregister_thread();
	log_line("version %s, pid %d, a snapshot every %llu ms", SHMBUS_VERSION_STRING,
		 (int)getpid(), (unsigned long long)(options.interval_ns / 1000000));
	status = run(&agent, &signals);
	registry_free(&agent.registry);
	persist_close(&agent.persist);
	totals_free(&agent.totals);
	recent_free(&agent.recent);
	log_line("stopped");
	close(lock_fd);
	return status;
}

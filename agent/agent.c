/* SPDX-License-Identifier: MIT */
/* agent.c - an agent from its beginning to its end; main.c wraps it into a process. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent.h"
#include "guard.h"
#include "log.h"
#include "restore.h"

void agent_fail(struct agent *agent)
{
	atomic_store_explicit(&agent->failed, true, memory_order_relaxed);
	kill(getpid(), SIGTERM);
}

int agent_init(struct agent *agent, const struct options *options)
{
	int error;

	agent->options = *options;
	agent->start_time_unix_ns = clock_unix_ns();
	event_init(&agent->drain_event);
	event_init(&agent->publish_event);
	event_init(&agent->reap_event);
	hints_init(&agent->hints);
	rejects_init(&agent->rejects);
	if (agent->counter.start_ns == 0)
		counter_begin(&agent->counter);
	agent->left_fd = -1;
	agent->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (agent->stop_fd < 0)
		return -errno;
	error = registry_init(&agent->registry, options->sessions_max);
	if (error == 0)
		error = totals_init(&agent->totals, options->metrics_max, options->window);
	if (error == 0)
		error = guard_init();
	agent->persist.store.fd = -1;
	return error;
}

int agent_take_up(struct agent *agent)
{
	int error;

	rcu_register_thread();
	error = persist_open(&agent->persist, agent->options.bus);
	if (error == 0)
		error = restore(agent);
	rcu_unregister_thread();
	return error;
}

int agent_start(struct agent *agent)
{
	static void *(*const bodies[AGENT_THREADS])(void *) = {drain_thread, publish_thread,
							       reap_thread, discover_thread};
	int error = 0;

	for (; agent->started < AGENT_THREADS && error == 0; agent->started += error == 0)
		error = pthread_create(&agent->threads[agent->started], NULL,
				       bodies[agent->started], agent);
	return -error;
}

void agent_stop(struct agent *agent)
{
	uint64_t one = 1;

	atomic_store_explicit(&agent->stop, true, memory_order_release);
	if (write(agent->stop_fd, &one, sizeof one) < 0)
		log_line("cannot wake discovery: %s", strerror(errno));
	event_signal(&agent->drain_event);
	event_signal(&agent->publish_event);
	event_signal(&agent->reap_event);
	for (; agent->started > 0; agent->started--)
		pthread_join(agent->threads[agent->started - 1], NULL);
}

void agent_free(struct agent *agent)
{
	registry_free(&agent->registry);
	totals_free(&agent->totals);
	recent_free(&agent->recent);
	persist_close(&agent->persist);
	close(agent->stop_fd);
	if (agent->left_fd >= 0)
		close(agent->left_fd);
}

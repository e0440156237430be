/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* The bodies of the threads, whose parts are run in turn here. */
#include "../../agent/drain_thread.c" /* NOLINT(bugprone-suspicious-include) */
#include "../../agent/publish.c"      /* NOLINT(bugprone-suspicious-include) */
#include "../../agent/reap.c"         /* NOLINT(bugprone-suspicious-include) */

#include "agent_life.h"
#include "script.h"

#define TIME_FIRST_S (1u << 20)
#define TIME_UNIX_S 1700000000u

struct agent_life {
	struct agent agent;
	struct drain drain;
	struct publisher publisher;
	struct sweep sweep;
	struct checkpoint_numbers numbers;
	struct session_list list;
};

static uint64_t now_s = TIME_FIRST_S;
static bool damage_said;

/* ---- in the place of what the agent has from elsewhere ---- */

int __real_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out);

/* The linker puts it in the place of clock_gettime(2). */
int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
	if (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME)
		return __real_clock_gettime(clock, out);
	out->tv_sec = (time_t)(now_s + (clock == CLOCK_REALTIME ? TIME_UNIX_S : 0));
	out->tv_nsec = 0;
	return 0;
}

void log_setup(const char *bus, bool verbose)
{
	(void)bus, (void)verbose;
}

/* It keeps quiet, and notes what restore.c and store.c say of damage. */
void log_line(const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	if (strstr(text, "damaged") != NULL)
		damage_said = true;
}

void log_detail(const char *format, ...)
{
	(void)format;
}

void log_stop(void)
{
}

uint64_t log_lost(void)
{
	return 0;
}

/* ---- a life ---- */

void agent_life_time(uint64_t seconds)
{
	now_s += seconds;
}

static void files_remove(void)
{
	char name[80];

	snprintf(name, sizeof name, "/shmbus.%s.snapshot", script_bus());
	shm_unlink(name);
}

static struct options options_of(const char *bus)
{
	struct options options = {
		.interval_ns = 1000000000u,
		.drain_ns = 10000000u,
		.stale_after_ns = 10000000000u,
		.ttl_ns = 3600000000000u,
		.sessions_max = 64,
		.metrics_max = 8,
		.window = 10,
		.snapshot_mode = 0600,
	};

	snprintf(options.bus, sizeof options.bus, "%s", bus);
	return options;
}

struct agent_life *agent_life_begin(const char *bus)
{
	static bool cleaned;
	struct options options = options_of(bus);
	struct agent_life *life = calloc(1, sizeof *life);

	promise(life != NULL);
	if (!cleaned)
		atexit(files_remove);
	cleaned = true;
	damage_said = false;
	life->agent.counter = (struct counter){
		.start_ns = 1, .next_ns = UINT64_MAX, .scale = tick_scale_of(1000000000u)};
	promise(agent_init(&life->agent, &options) == 0 && agent_take_up(&life->agent) == 0);
	rcu_register_thread();
	life->publisher.agent = &life->agent;
	promise(publisher_init(&life->publisher));
	life->sweep.list = SESSION_LIST_EMPTY;
	life->drain.window_default = options.window;
	life->drain.counter_scale = life->agent.counter.scale;
	life->numbers = life->agent.checkpoint.numbers;
	return life;
}

struct agent *agent_life_agent(struct agent_life *life)
{
	return &life->agent;
}

bool agent_life_damage(const struct agent_life *life)
{
	(void)life;
	return damage_said;
}

int agent_life_attach(struct agent_life *life, uint64_t key)
{
	struct shmbus_consumer *consumer = malloc(sizeof *consumer);
	char segment[80];
	int error;

	promise(consumer != NULL);
	snprintf(segment, sizeof segment, "/shmbus.%s.s.%016llx", life->agent.options.bus,
		 (unsigned long long)key);
	error = shmbus_consumer_attach(consumer, segment);
	if (error != 0) {
		free(consumer);
		return error;
	}
	promise(registry_add(&life->agent.registry, session_new(consumer, key)));
	return 0;
}

void agent_life_tick(struct agent_life *life)
{
	struct checkpoint *checkpoint = &life->agent.checkpoint;

	agent_life_time(1);
	for (uint32_t part = 0; part < SWEEP_PARTS; part++) {
		life->sweep.number = part;
		sweep_run(&life->agent, &life->sweep);
	}
	rcu_read_lock();
	session_list_update(&life->list, &life->agent.registry);
	pass(&life->agent, &life->drain, &life->list);
	if (life->drain.hungry)
		commit(&life->agent, &life->drain, &life->list, false);
	checkpoint_make(&life->agent, &life->drain, &life->list, &life->numbers);
	rcu_read_unlock();
	tick(&life->publisher);
	turns_done(&checkpoint->turns, turns_taken(&checkpoint->turns));
}

/* As registry_free(), which would wait for other threads. */
static void registry_end(struct registry *registry)
{
	struct cds_lfht_iter iterator;
	struct session *session;

	rcu_read_lock();
	registry_for_each(registry, iterator, session)
	{
		cds_lfht_del(registry->table, &session->node);
		if (session->consumer->fd >= 0)
			shmbus_consumer_detach(session->consumer);
		session_free(session);
	}
	rcu_read_unlock();
	cds_lfht_destroy(registry->table, NULL);
}

void agent_life_end(struct agent_life *life)
{
	registry_end(&life->agent.registry);
	totals_free(&life->agent.totals);
	recent_free(&life->agent.recent);
	persist_close(&life->agent.persist);
	close(life->agent.stop_fd);
	publisher_free(&life->publisher);
	session_list_free(&life->sweep.list);
	session_list_free(&life->list);
	rcu_unregister_thread();
	free(life);
}

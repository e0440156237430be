/* SPDX-License-Identifier: MIT */
/*
 * stress_agent_kill.c - agents are killed at random instructions, again and again, while
 * producers record, and sessions come and go. In the end what the last agent shows is, to the
 * unit, what the producers say they recorded: counts, sums, every bucket of the histograms.
 *
 *	stress_agent_kill [KILLS [SEED]]
 *
 * The ledger is memory of this program. A seed that failed is printed and can be given again; it
 * fixes the times of the kills, not what the processors do meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <shmbus/producer.h>

#include "agent.h"
#include "kill_point.h"
#include "log.h"
#include "tap.h"

#if defined(__SANITIZE_ADDRESS__)
#define KILLS 500
#else
#define KILLS 20000
#endif
#if defined(EXPECT_CAUGHT)
static const char *const planted = EXPECT_CAUGHT; /* a bug that the accounts must give away */
#else
static const char *const planted;
#endif
#define HELPER_SECONDS_MAX (12 * 3600) /* no forked one outlives a long run */
#define LANES 4
#define PLACES_KILLS 4000 /* so many come by every place */
#define RECORDERS 3
#define CAPACITY 2048 /* half full in some milliseconds: commits between the ticks too */
#define VALUES 61     /* each in a bucket of its own or nearly so; see value_of() */
#define DELAY_MAX_NS 800000

/* What the producers say. One writer each, so that plain stores do. */
struct account {
	_Atomic uint64_t attempted;
	_Atomic uint64_t recorded;
	_Atomic uint64_t sum;
	_Atomic uint64_t counted; /* what was added to the counter */
	_Atomic uint64_t values[VALUES];
};

struct ledger {
	struct account recorders[RECORDERS];
	struct account comer;    /* of all sessions that came and went */
	_Atomic uint64_t comers; /* how many of them were opened */
	_Atomic uint64_t killed;
	_Atomic uint64_t killed_at[KILL_POINTS];
	_Atomic bool ready; /* the agent's threads run */
	_Atomic bool stop;
	_Atomic bool stopped;
	_Atomic uint64_t seen_count; /* what the last agent says */
	_Atomic uint64_t seen_sum;
	_Atomic uint64_t seen_buckets;
	_Atomic uint64_t seen_counter;
	_Atomic uint64_t seen_dropped;
	_Atomic uint64_t seen_samples;
	_Atomic uint64_t seen_ended;
	_Atomic uint64_t seen_lost;
	_Atomic uint64_t seen_before;
	_Atomic uint64_t seen_incarnation;
	uint64_t buckets[HISTOGRAM_INDEXES + 1]; /* the zeros last */
};

static struct ledger *ledgers; /* of all lanes */
static struct ledger *ledger;  /* of this one */

static void up(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static void nap(uint64_t ns)
{
	struct timespec time = {.tv_sec = (time_t)(ns / 1000000000u),
				.tv_nsec = (long)(ns % 1000000000u)};

	nanosleep(&time, NULL);
}

/* ---- the producers' process ---- */

struct target {
	struct shmbus_session *session;
	struct shmbus_writer *writer;
	shmbus_metric timer;
	shmbus_metric counter;
};

static bool target_open(struct target *target, uint32_t capacity)
{
	struct shmbus_writer_options options = {.capacity = capacity};
	struct shmbus_metric_options timer = {.name = "value", .kind = SHMBUS_TIMER};
	struct shmbus_metric_options counter = {.name = "done", .kind = SHMBUS_COUNTER};

	return shmbus_session_open(NULL, &target->session) == 0 &&
	       shmbus_writer_open(target->session, &options, &target->writer) == 0 &&
	       shmbus_metric_define(target->session, &timer, &target->timer) == 0 &&
	       shmbus_metric_define(target->session, &counter, &target->counter) == 0;
}

/* The last one does not fit the window that a metric begins with. */
static uint64_t value_of(uint32_t number)
{
	return number == VALUES - 1 ? UINT64_C(1) << 33 : number;
}

static void record(struct target *target, struct account *account, uint32_t *random)
{
	uint32_t number = (uint32_t)rand_r(random) % VALUES;
	uint64_t value = value_of(number);

	up(&account->attempted, 1);
	if (shmbus_record_value_at(target->writer, target->timer, value, shmbus_now())) {
		up(&account->recorded, 1);
		up(&account->sum, value);
		up(&account->values[number], 1);
	}
	shmbus_add(target->writer, target->counter, value);
	up(&account->counted, value);
}

static void *recorder(void *data)
{
	struct account *account = data;
	uint32_t random = (uint32_t)(account - ledger->recorders);
	struct target target;

	if (!target_open(&target, CAPACITY))
		_exit(3);
	while (!atomic_load(&ledger->stop)) {
		for (int i = 0; i < 400; i++)
			record(&target, account, &random);
		nap(1000000);
	}
	pause(); /* the session is open as long as anybody looks */
	return NULL;
}

static void *comer(void *unused)
{
	uint32_t random = 77;

	(void)unused;
	while (!atomic_load(&ledger->stop)) {
		struct target target;

		if (!target_open(&target, 64))
			_exit(3);
		up(&ledger->comers, 1);
		for (int i = rand_r(&random) % 60; i > 0; i--)
			record(&target, &ledger->comer, &random);
		nap(rand_r(&random) % 40000000u);
		shmbus_session_close(target.session);
		nap(rand_r(&random) % 40000000u);
	}
	atomic_store(&ledger->stopped, true);
	return NULL;
}

static pid_t producers_start(void)
{
	pthread_t threads[RECORDERS + 1];
	pid_t child = fork();

	if (child != 0)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(HELPER_SECONDS_MAX);
	for (int i = 0; i < RECORDERS; i++)
		pthread_create(&threads[i], NULL, recorder, &ledger->recorders[i]);
	pthread_create(&threads[RECORDERS], NULL, comer, NULL);
	pthread_join(threads[RECORDERS], NULL);
	pause();
	_exit(0);
}

/* ---- the agents ---- */

static struct agent agent;

static void options_fill(struct options *options)
{
	char *arguments[] = {(char[]){"shmbus-agent"}, (char[]){"--interval"},
			     (char[]){"20ms"},         (char[]){"--drain"},
			     (char[]){"1ms"},          (char[]){"--ttl"},
			     (char[]){"0s"},           (char[]){"--window"},
			     (char[]){"50"},           NULL};

	optind = 1;
	if (options_parse(9, arguments, options) != OPTIONS_RUN)
		abort();
}

static void agent_begin(void)
{
	struct options options;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(300);
	options_fill(&options);
	log_setup(options.bus, false);
	if (freopen("/dev/null", "w", stderr) == NULL || agent_init(&agent, &options) != 0 ||
	    agent_take_up(&agent) != 0 || agent_start(&agent) != 0)
		_exit(3);
}

/* Where an agent kills itself: the n-th time that it comes by; n = 0: nowhere. */
static struct {
	enum kill_point point;
	_Atomic int64_t left;
} fate;

void kill_point(enum kill_point point)
{
	if (point == fate.point && atomic_fetch_sub(&fate.left, 1) == 1) {
		up(&ledger->killed_at[point], 1);
		kill(getpid(), SIGKILL);
		pause();
	}
}

/* Half of all agents go to a certain place to die. */
static void fate_choose(uint32_t *random)
{
	static const uint32_t often[KILL_POINTS] = {[KILL_FOLD] = 3000, [KILL_WRITE] = 20};
	uint32_t most;

	fate.point = (enum kill_point)(rand_r(random) % KILL_POINTS);
	most = often[fate.point] != 0 ? often[fate.point] : 3;
	fate.left = rand_r(random) % 2 == 0 ? 0 : 1 + rand_r(random) % most;
}

/* Waits until an agent has died, or for so long; not all come by the place. */
static bool died(pid_t child, uint64_t ns)
{
	int status;

	for (uint64_t waited = 0; waited < ns; waited += 100000) {
		nap(50000);
		if (waitpid(child, &status, WNOHANG) == child)
			return true;
	}
	return false;
}

/* Of those that are killed from outside, half are while they start, or soon after; the others get
 * to work first. One in fifty lives through some ticks, so that finished sessions leave. */
static bool kill_one(uint32_t *random)
{
	bool patient = rand_r(random) % 2 != 0;
	uint64_t life = rand_r(random) % 50 == 0 ? 100 * DELAY_MAX_NS : DELAY_MAX_NS;
	pid_t child;
	int status;

	fate_choose(random);
	atomic_store(&ledger->ready, false);
	child = fork();
	if (child == 0) {
		agent_begin();
		atomic_store(&ledger->ready, true);
		for (;;)
			pause();
	}
	while ((patient || fate.left != 0) && !atomic_load(&ledger->ready))
		if (died(child, 100000))
			return true;
	if (fate.left != 0 && died(child, 4 * life))
		return true;
	nap(rand_r(random) % life);
	kill(child, SIGKILL);
	return waitpid(child, &status, 0) == child && WIFSIGNALED(status) &&
	       WTERMSIG(status) == SIGKILL;
}

/* Runs until all is aggregated and all comers are finished; then says what it has. */
static void last_look(const struct total *value, const struct total *done)
{
	const struct histogram *histogram = &value->series.histogram;
	struct cds_lfht_iter iterator;
	struct session *session;

	ledger->seen_count = value->series.lifetime.count;
	ledger->seen_sum = (uint64_t)lifetime_sum(&value->series.lifetime);
	ledger->seen_buckets = histogram_count(histogram);
	ledger->seen_counter = done->counter;
	for (uint32_t i = 0; i < histogram->length; i++)
		ledger->buckets[histogram->first + i] = histogram->buckets[i];
	ledger->buckets[HISTOGRAM_INDEXES] = histogram->zero_count;
	registry_for_each(&agent.registry, iterator, session)
	{
		for (uint32_t i = 0; session->metrics != NULL && i < session->live.writer_count;
		     i++)
			ledger->seen_before += session->writers[i]->live.account.before;
	}
	ledger->seen_dropped = agent.checkpoint.numbers.dropped_total;
	ledger->seen_samples = agent.checkpoint.numbers.samples_total;
	ledger->seen_ended = agent.sessions_ended;
	ledger->seen_lost = agent.sessions_lost;
	ledger->seen_incarnation = agent.persist.agent.incarnation;
}

static const struct total *total_of(const char *name)
{
	for (uint32_t i = 0; i < agent.totals.count; i++)
		if (strcmp(agent.totals.all[i]->entry.name, name) == 0)
			return agent.totals.all[i];
	return NULL;
}

static uint64_t recorded_all(void)
{
	uint64_t sum = ledger->comer.recorded;

	for (int i = 0; i < RECORDERS; i++)
		sum += ledger->recorders[i].recorded;
	return sum;
}

static bool settled(void)
{
	return atomic_load(&agent.checkpoint.turns.done) > 3 &&
	       agent.sessions_ended + agent.sessions_lost == ledger->comers &&
	       agent.checkpoint.numbers.samples_total >= recorded_all();
}

static void last_agent(void)
{
	const struct total *value, *done;
	pid_t child;

	fate.left = 0;
	child = fork();
	if (child == 0) {
		agent_begin();
		for (int i = 0; i < 2000 && !settled(); i++)
			nap(10000000);
		nap(100000000); /* one that counts twice shows it now */
		agent_stop(&agent);
		rcu_register_thread();
		value = total_of("value");
		done = total_of("done");
		if (value != NULL && done != NULL)
			last_look(value, done);
		rcu_unregister_thread();
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

/* ---- the accounts ---- */

static void bucket_expect(uint64_t expected[HISTOGRAM_INDEXES + 1], const struct account *account)
{
	for (uint32_t i = 0; i < VALUES; i++)
		expected[i == 0 ? HISTOGRAM_INDEXES : histogram_index(value_of(i))] +=
			account->values[i];
}

static void compare(void)
{
	uint64_t expected[HISTOGRAM_INDEXES + 1] = {0};
	struct account all = {0};
	uint32_t wrong = 0;

	for (int i = 0; i <= RECORDERS; i++) {
		const struct account *account =
			i < RECORDERS ? &ledger->recorders[i] : &ledger->comer;

		up(&all.attempted, account->attempted);
		up(&all.recorded, account->recorded);
		up(&all.sum, account->sum);
		up(&all.counted, account->counted);
		bucket_expect(expected, account);
	}
	for (uint32_t i = 0; i <= HISTOGRAM_INDEXES; i++)
		wrong += ledger->buckets[i] != expected[i];
	printf("# %llu attempted, %llu recorded, %llu sessions came and went, %llu agents\n",
	       (unsigned long long)all.attempted, (unsigned long long)all.recorded,
	       (unsigned long long)ledger->comers, (unsigned long long)ledger->seen_incarnation);
	tap_ok(all.recorded > 0 && ledger->comers > 0, "something was recorded");
	tap_ok(ledger->seen_samples == all.recorded, "samples: %llu of %llu",
	       (unsigned long long)ledger->seen_samples, (unsigned long long)all.recorded);
	tap_ok(ledger->seen_dropped == all.attempted - all.recorded, "dropped: %llu of %llu",
	       (unsigned long long)ledger->seen_dropped,
	       (unsigned long long)(all.attempted - all.recorded));
	tap_ok(ledger->seen_count == all.recorded, "the count of the total: %llu of %llu",
	       (unsigned long long)ledger->seen_count, (unsigned long long)all.recorded);
	tap_ok(ledger->seen_sum == all.sum, "its sum: %llu of %llu",
	       (unsigned long long)ledger->seen_sum, (unsigned long long)all.sum);
	tap_ok(wrong == 0 && ledger->seen_buckets == all.recorded, "every bucket: %u are wrong",
	       wrong);
	tap_ok(ledger->seen_counter == all.counted, "the counter: %llu of %llu",
	       (unsigned long long)ledger->seen_counter, (unsigned long long)all.counted);
	tap_ok(ledger->seen_ended == ledger->comers && ledger->seen_lost == 0,
	       "sessions that ended: %llu of %llu", (unsigned long long)ledger->seen_ended,
	       (unsigned long long)ledger->comers);
	tap_ok(ledger->seen_before == 0, "nothing is left out as taken before");
}

/* Whether the lane's account gives a planted bug away. */
static bool gives_away(void)
{
	return ledger->seen_samples != recorded_all() || ledger->seen_before != 0;
}

/* Of all lanes together. */
static void places_check(void)
{
	for (int point = 0; point < KILL_POINTS; point++) {
		uint64_t killed = 0;

		for (int i = 0; i < LANES; i++)
			killed += ledgers[i].killed_at[point];
		tap_ok(killed != 0, "%llu agents died at place %d", (unsigned long long)killed,
		       point);
	}
}

static void files_remove(const char *bus)
{
	char command[160];

	/* Segments, and snapshots that were in the making when an agent was killed, too. */
	snprintf(command, sizeof command, "rm -f /dev/shm/" SHMBUS_PREFIX "%s.*", bus);
	if (system(command) != 0)
		puts("# files are left behind");
}

/* ---- lanes: most of an agent's death is waiting, so several die at once ---- */

/* One bus with its producers and its agents, one after the other. */
static void lane(uint32_t kills, uint32_t seed)
{
	char name[80];
	pid_t producers;

	files_remove(getenv("SHMBUS_BUS"));
	/* Says that the bus has an agent: without, sessions that are closed are gone at once. */
	snprintf(name, sizeof name, "/" SHMBUS_PREFIX "%s." SHMBUS_AGENT_SUFFIX,
		 getenv("SHMBUS_BUS"));
	close(shm_open(name, O_RDWR | O_CREAT, 0600));
	producers = producers_start();
	for (uint32_t i = 0; i < kills; i++)
		up(&ledger->killed, kill_one(&seed));
	atomic_store(&ledger->stop, true);
	for (int i = 0; i < 1000 && !atomic_load(&ledger->stopped); i++)
		nap(10000000);
	last_agent();
	kill(producers, SIGKILL);
	waitpid(producers, NULL, 0);
	files_remove(getenv("SHMBUS_BUS"));
}

static pid_t lane_start(const char *bus, int number, uint32_t kills, uint32_t seed)
{
	char own[SHMBUS_BUS_SIZE];
	pid_t child = fork();

	if (child != 0)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(HELPER_SECONDS_MAX);
	snprintf(own, sizeof own, "%.28s-%d", bus, number);
	setenv("SHMBUS_BUS", own, 1);
	ledger = &ledgers[number];
	lane(kills, seed + (uint32_t)number);
	_exit(0);
}

int main(int argc, char **argv)
{
	uint32_t kills = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : KILLS;
	uint32_t seed = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 0) : (uint32_t)time(NULL);
	const char *bus = getenv("SHMBUS_BUS");
	pid_t lanes[LANES];
	bool caught = false;

	if (bus == NULL) {
		fputs("SHMBUS_BUS must name a bus of this test's own\n", stderr);
		return 2;
	}
	ledgers = mmap(NULL, LANES * sizeof *ledgers, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	counter_begin(&agent.counter);
	counter_wait(&agent.counter); /* once for all */
	printf("# seed %u, %u kills\n", seed, kills / LANES * LANES);
	fflush(stdout);
	for (int i = 0; i < LANES; i++)
		lanes[i] = lane_start(bus, i, kills / LANES, seed);
	for (int i = 0; i < LANES; i++) {
		waitpid(lanes[i], NULL, 0);
		ledger = &ledgers[i];
		tap_ok(ledger->killed == kills / LANES, "%llu agents were killed",
		       (unsigned long long)ledger->killed);
		caught |= gives_away();
		if (planted == NULL)
			compare();
	}
	if (planted != NULL)
		tap_ok(caught, "caught: %s", planted);
	else if (kills >= PLACES_KILLS)
		places_check();
	return tap_done();
}

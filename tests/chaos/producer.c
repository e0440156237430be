/* SPDX-License-Identifier: MIT */
/*
 * producer.c - a producer that the chaos harness (harness.py) kills, stops and starts: many
 * sessions in one thread, each paced, each open for a while and then followed by the next.
 *
 * The ledger is a file of the harness, outside of the bus. It has an entry for each session, and
 * the harness reads it after a SIGKILL too: `attempted` counts before an attempt, the value's
 * count or `dropped` after it, so that where they differ, one attempt was under way, and which
 * value that had follows from its number. ledger.py reads what is laid out here.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <shmbus/producer.h>

#define HELPER_SECONDS_MAX (12 * 3600) /* no forked one outlives a long run */
#define VALUES 60
#define SLOTS_MAX 128
#define TICK_NS 1000000
#define LATE_NS_MAX 2000000000 /* later than that, what was missed is not made up for */

enum command { RUN, PAUSE, END };

enum state { UNUSED, OPENING, OPEN, CLOSING, CLOSED, REFUSED };

struct entry {
	_Atomic uint64_t state;
	_Atomic uint64_t attempted;
	_Atomic uint64_t dropped;
	_Atomic uint64_t counted; /* what was added to the counter */
	_Atomic uint64_t values[VALUES];
};
_Static_assert(sizeof(struct entry) == 512, "as ledger.py has it");

struct ledger {
	_Atomic uint64_t command; /* written by the harness */
	_Atomic uint64_t paused;  /* nothing is under way, and nothing will be until RUN */
	uint64_t reserved[62];
	struct entry entries[];
};

/* A session that is open now. */
struct slot {
	struct entry *entry; /* NULL: none */
	struct shmbus_session *session;
	struct shmbus_writer *writer;
	shmbus_metric value;
	shmbus_metric done;
	bool records;        /* the writer has a ring */
	uint64_t ticks_left; /* until it is closed */
	uint64_t owed;       /* thousandths of a sample that the pace asks for */
};

static struct {
	const char *name;
	const char *ledger;
	uint32_t slots;
	uint32_t entries;
	uint32_t ring;
	uint64_t rate_hz;
	uint64_t life_ticks; /* 0: until the end */
} options = {.slots = 1, .entries = 1, .rate_hz = 1000};

static struct ledger *ledger;
static uint32_t entries_used;

/* relaxed, all of them: a word is whole, and the kernel keeps it when this process is killed;
 * program order is what the harness relies on, and no signal handler reads the words. */
static uint64_t get(_Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

static void set(_Atomic uint64_t *word, uint64_t value)
{
	/* The compiler must not move what is done before or after. */
	atomic_signal_fence(memory_order_seq_cst);
	atomic_store_explicit(word, value, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
}

static void up(_Atomic uint64_t *word)
{
	set(word, get(word) + 1);
}

/* Which of the values an attempt has: all of them come, in no simple order. */
static uint32_t value_number(uint64_t attempt)
{
	return (uint32_t)((attempt * 2654435761u >> 7) % VALUES);
}

static void attempt(struct slot *slot)
{
	struct entry *entry = slot->entry;
	uint64_t number = get(&entry->attempted) + 1;
	uint64_t i = value_number(number);

	set(&entry->attempted, number);
	if (shmbus_record_value(slot->writer, slot->value, i * i * i))
		up(&entry->values[i]);
	else
		up(&entry->dropped);
	shmbus_add(slot->writer, slot->done, 1);
	up(&entry->counted);
}

static void slot_open(struct slot *slot, uint64_t ticks)
{
	char id[48];
	struct shmbus_session_options session = {.service = "chaos", .id = id};
	struct shmbus_writer_options writer = {.capacity = options.ring};
	struct shmbus_metric_options value = {.name = "value", .kind = SHMBUS_TIMER, .unit = "1"};
	struct shmbus_metric_options done = {.name = "done", .kind = SHMBUS_COUNTER};

	snprintf(id, sizeof id, "%s-%u", options.name, entries_used);
	*slot = (struct slot){.entry = &ledger->entries[entries_used++], .ticks_left = ticks};
	set(&slot->entry->state, OPENING);
	if (shmbus_session_open(&session, &slot->session) != 0) {
		set(&slot->entry->state, REFUSED);
		return;
	}
	set(&slot->entry->state, OPEN);
	shmbus_metric_define(slot->session, &value, &slot->value);
	shmbus_metric_define(slot->session, &done, &slot->done);
	slot->records = shmbus_writer_open(slot->session, &writer, &slot->writer) == 0;
}

static void slot_close(struct slot *slot)
{
	if (get(&slot->entry->state) == OPEN) {
		set(&slot->entry->state, CLOSING);
		shmbus_session_close(slot->session);
		set(&slot->entry->state, CLOSED);
	}
	slot->entry = NULL;
}

/* One millisecond of one session's life. Returns false when it is over, and none can follow. */
static bool slot_tick(struct slot *slot)
{
	if (slot->entry == NULL) {
		if (entries_used == options.entries)
			return false;
		slot_open(slot, options.life_ticks);
	}
	slot->owed += options.rate_hz;
	for (; slot->owed >= 1000; slot->owed -= 1000)
		if (slot->records)
			attempt(slot);
	if (options.life_ticks != 0 && --slot->ticks_left == 0)
		slot_close(slot);
	return true;
}

static void tick_wait(struct timespec *next)
{
	struct timespec now;
	int64_t late_ns;

	next->tv_nsec += TICK_NS;
	if (next->tv_nsec >= 1000000000) {
		next->tv_nsec -= 1000000000;
		next->tv_sec++;
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	late_ns = (now.tv_sec - next->tv_sec) * 1000000000 + now.tv_nsec - next->tv_nsec;
	if (late_ns > LATE_NS_MAX)
		*next = now;
	else if (late_ns < 0)
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, next, NULL);
}

static void paused(struct timespec *next)
{
	static const struct timespec nap = {.tv_nsec = TICK_NS};

	set(&ledger->paused, 1);
	while (get(&ledger->command) == PAUSE)
		nanosleep(&nap, NULL);
	set(&ledger->paused, 0);
	clock_gettime(CLOCK_MONOTONIC, next);
}

static void run(struct slot *slots)
{
	struct timespec next;
	bool any = true;

	clock_gettime(CLOCK_MONOTONIC, &next);
	/* The first ones live for different times, so that not all are opened at once later. */
	for (uint32_t i = 0; i < options.slots && get(&ledger->command) != END; i++)
		slot_open(&slots[i], 1 + options.life_ticks * (i + 1) / options.slots);
	while (any && get(&ledger->command) != END) {
		if (get(&ledger->command) == PAUSE)
			paused(&next);
		any = false;
		for (uint32_t i = 0; i < options.slots; i++)
			any |= slot_tick(&slots[i]);
		tick_wait(&next);
	}
	for (uint32_t i = 0; i < options.slots; i++)
		if (slots[i].entry != NULL)
			slot_close(&slots[i]);
}

static void ledger_open(void)
{
	int fd = open(options.ledger, O_RDWR);

	ledger = fd < 0 ? MAP_FAILED
			: mmap(NULL, sizeof *ledger + options.entries * sizeof(struct entry),
			       PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ledger == MAP_FAILED) {
		fprintf(stderr, "producer: cannot map %s: %s\n", options.ledger, strerror(errno));
		exit(1);
	}
	close(fd);
}

static void options_parse(int argc, char **argv)
{
	static const struct option table[] = {{"name", 1, NULL, 'n'},     {"ledger", 1, NULL, 'l'},
					      {"sessions", 1, NULL, 's'}, {"entries", 1, NULL, 'e'},
					      {"ring", 1, NULL, 'r'},     {"rate", 1, NULL, 'R'},
					      {"life", 1, NULL, 'L'},     {NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		uint64_t number = strtoull(optarg != NULL ? optarg : "", NULL, 0);

		if (option == 'n')
			options.name = optarg;
		else if (option == 'l')
			options.ledger = optarg;
		else if (option == 's')
			options.slots = (uint32_t)number;
		else if (option == 'e')
			options.entries = (uint32_t)number;
		else if (option == 'r')
			options.ring = (uint32_t)number;
		else if (option == 'R')
			options.rate_hz = number;
		else if (option == 'L')
			options.life_ticks = number;
		else
			exit(2);
	}
	if (options.name == NULL || options.ledger == NULL || options.slots > SLOTS_MAX ||
	    options.entries < options.slots)
		exit(2);
}

int main(int argc, char **argv)
{
	static struct slot slots[SLOTS_MAX];

	options_parse(argc, argv);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(HELPER_SECONDS_MAX);
	ledger_open();
	run(slots);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * publish.c - after each checkpoint: time windows move on, sessions that changed are encoded,
 * and every interval the document is put in place.
 */
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "encode.h"
#include "log.h"
#include "process.h"
#include "snapshot_log.h"

#define LOG_SIZE_FIRST (1u << 20)
#define BUSY_RATIO 0.01 /* of a processor */
#define BUSY_NS 10000000000u

struct publisher {
	struct agent *agent;
	struct snapshot_log log;
	struct window_scratch *scratch;
	msgpack_sbuffer buffer; /* the sessions that are encoded for this snapshot */
	msgpack_sbuffer prefix;
	struct session_list list;               /* by start time */
	uint32_t capacity;                      /* of the two that follow */
	struct shmbus_snapshot_extent *extents; /* 1 + 2 for each session */
	uint8_t *ages;
	uint64_t next_ns;
	uint64_t cpu_ns; /* of the agent, at the last snapshot */
	uint64_t cpu_at_ns;
	uint64_t busy_since_ns; /* the CPU ratio has been above its limit; 0: it has not */
	bool busy_said;
	uint32_t failures; /* snapshots in a row that could not be published */
	struct encode_agent numbers;
};

/* ---- the list of sessions ---- */

static int by_start(const void *left, const void *right)
{
	const struct session *a = *(struct session *const *)left;
	const struct session *b = *(struct session *const *)right;
	uint64_t at = a->consumer->header.start_time_unix_ns;
	uint64_t bt = b->consumer->header.start_time_unix_ns;

	if (at != bt)
		return at < bt ? -1 : 1;
	return a->key < b->key ? -1 : a->key > b->key;
}

/* Room for what a document lists of so many sessions. */
static bool extents_reserve(struct publisher *publisher, uint32_t count)
{
	uint32_t capacity = count + count / 4 + 64;
	void *extents, *ages;

	if (publisher->capacity >= count)
		return true;
	extents = realloc(publisher->extents,
			  (1 + 2 * (size_t)capacity) * sizeof *publisher->extents);
	if (extents != NULL)
		publisher->extents = extents;
	ages = realloc(publisher->ages, (size_t)capacity * ENCODE_AGE_SIZE);
	if (ages != NULL)
		publisher->ages = ages;
	if (extents == NULL || ages == NULL)
		return false;
	publisher->capacity = capacity;
	return true;
}

/* Under rcu_read_lock(), as long as the list is used. */
static void sessions_list(struct publisher *publisher)
{
	struct session_list *list = &publisher->list;

	if (!session_list_update(list, &publisher->agent->registry))
		return;
	if (!extents_reserve(publisher, list->count))
		list->count = publisher->capacity;
	if (list->count != 0)
		qsort(list->sessions, list->count, sizeof *list->sessions, by_start);
}

/* ---- time windows ---- */

/* Windows begin with the first second in which the publisher sees the metric. */
static bool slices_advance_one(struct slices *slices, uint64_t second, const struct series *series,
			       uint64_t peak)
{
	if (slices->began_s == 0)
		slices_begin(slices, second > 0 ? second - 1 : 0, NULL, NULL);
	return slices_advance(slices, second, &series->histogram, &series->lifetime, peak);
}

static void session_slices_advance(struct session *session, uint64_t second)
{
	if (session->published.final)
		return;
	for (uint32_t i = 0; i < session->committed.metric_count; i++) {
		struct metric *metric = session->metrics[i];

		if (metric->timer &&
		    slices_advance_one(&metric->slices, second, &metric->committed,
				       lifetime_peak_take(&metric->committed.lifetime)))
			session->committed.dirty = true;
	}
}

static void slices_advance_all(struct publisher *publisher, uint64_t second)
{
	struct totals *totals = &publisher->agent->totals;

	for (uint32_t i = 0; i < publisher->list.count; i++)
		session_slices_advance(publisher->list.sessions[i], second);
	for (uint32_t i = 0; i < totals->count; i++) {
		struct total *total = totals->all[i];

		if (total->entry.kind == SHMBUS_TIMER)
			slices_advance_one(&total->slices, second, &total->series,
					   lifetime_peak_take(&total->series.lifetime));
	}
}

/* ---- sessions ---- */

static bool must_encode(const struct session *session)
{
	const struct session_published *published = &session->published;

	if (published->final)
		return false;
	return session->committed.dirty || published->size == 0 ||
	       published->process_version !=
		       atomic_load_explicit(&session->process.version, memory_order_relaxed);
}

static void session_encode(struct publisher *publisher, struct session *session)
{
	struct session_published *published = &session->published;
	msgpack_packer packer;

	msgpack_packer_init(&packer, &publisher->buffer, msgpack_sbuffer_write);
	published->process_version =
		atomic_load_explicit(&session->process.version, memory_order_relaxed);
	published->pending_offset = publisher->buffer.size;
	published->keys = encode_session(&packer, session, publisher->scratch);
	published->size = publisher->buffer.size - published->pending_offset;
	published->pending = true;
	session->committed.dirty = false;
	publisher->numbers.encoded_sessions++;
}

/* A finished session's numbers are in the log for good: with the next checkpoint they are saved,
 * and the rest of its memory goes. */
static void session_finish(struct publisher *publisher, struct session *session)
{
	if (session->published.final || session->committed.state < SESSION_ENDED ||
	    atomic_load_explicit(&session->stage, memory_order_acquire) != SESSION_GONE)
		return;
	session->published.final = true;
	recent_add(&publisher->agent->recent, session);
	session->published.document = malloc((size_t)session->published.size);
	if (session->published.document != NULL)
		memcpy(session->published.document,
		       snapshot_log_bytes(&publisher->log, session->published.position),
		       (size_t)session->published.size);
}

static void sessions_encode(struct publisher *publisher)
{
	publisher->numbers.encoded_sessions = 0;
	msgpack_sbuffer_clear(&publisher->buffer);
	for (uint32_t i = 0; i < publisher->list.count; i++)
		if (must_encode(publisher->list.sessions[i]))
			session_encode(publisher, publisher->list.sessions[i]);
}

/* What was encoded goes into the log; what has grown old in it goes to its end again. */
static void sessions_append(struct publisher *publisher)
{
	for (uint32_t i = 0; i < publisher->list.count; i++) {
		struct session *session = publisher->list.sessions[i];
		struct session_published *published = &session->published;

		if (published->waiting) {
			published->position = snapshot_log_append(
				&publisher->log, published->document, published->size);
			free(published->document);
			published->document = NULL;
		} else if (published->pending)
			published->position = snapshot_log_append(
				&publisher->log, publisher->buffer.data + published->pending_offset,
				published->size);
		else if (snapshot_log_old(&publisher->log, published->position))
			published->position = snapshot_log_forward(
				&publisher->log, published->position, published->size);
		published->waiting = false;
		published->pending = false;
		session_finish(publisher, session);
	}
}

static void sessions_count(struct publisher *publisher)
{
	struct encode_agent *numbers = &publisher->numbers;
	struct agent *agent = publisher->agent;

	numbers->sessions_active = 0;
	numbers->memory_bytes = 0;
	totals_gauges_reset(&agent->totals);
	for (uint32_t i = 0; i < publisher->list.count; i++) {
		const struct session *session = publisher->list.sessions[i];

		numbers->memory_bytes +=
			atomic_load_explicit(&session->agent_bytes, memory_order_relaxed);
		if (session->committed.state >= SESSION_ENDED)
			continue;
		numbers->sessions_active++;
		totals_gauges_merge(&agent->totals, session);
	}
	numbers->sessions_ended =
		atomic_load_explicit(&agent->sessions_ended, memory_order_relaxed);
	numbers->sessions_lost = atomic_load_explicit(&agent->sessions_lost, memory_order_relaxed);
	numbers->sessions = publisher->list.count;
}

/* ---- the document ---- */

/* A sidecar that takes more than this for ten seconds should be known to. */
static void busy_look(struct publisher *publisher, uint64_t now_ns)
{
	double ratio = publisher->numbers.cpu_ratio;

	if (ratio <= BUSY_RATIO) {
		publisher->busy_since_ns = 0;
		publisher->busy_said = false;
		return;
	}
	if (publisher->busy_since_ns == 0)
		publisher->busy_since_ns = now_ns;
	if (publisher->busy_said || now_ns - publisher->busy_since_ns < BUSY_NS)
		return;
	publisher->busy_said = true;
	log_line("takes %.1f %% of a processor for %u sessions: a longer --interval or --drain "
		 "takes less",
		 ratio * 100, publisher->list.count);
}

static void self_measure(struct publisher *publisher, uint64_t now_ns)
{
	uint64_t cpu_ns = process_self_cpu_ns();

	if (publisher->cpu_at_ns != 0 && now_ns > publisher->cpu_at_ns)
		publisher->numbers.cpu_ratio = (double)(cpu_ns - publisher->cpu_ns) /
					       (double)(now_ns - publisher->cpu_at_ns);
	publisher->cpu_ns = cpu_ns;
	publisher->cpu_at_ns = now_ns;
	publisher->numbers.rss_bytes = process_self_rss_bytes();
	busy_look(publisher, now_ns);
}

static void prefix_encode(struct publisher *publisher)
{
	msgpack_packer packer;

	msgpack_sbuffer_clear(&publisher->prefix);
	msgpack_packer_init(&packer, &publisher->prefix, msgpack_sbuffer_write);
	encode_prefix(&packer, publisher->agent, &publisher->numbers, publisher->scratch);
}

/* The sessions' extents, each after the few bytes with its age. */
static void extents_list(struct publisher *publisher, uint64_t now_ns)
{
	uint64_t ages_at;

	for (uint32_t i = 0; i < publisher->list.count; i++) {
		const struct session *session = publisher->list.sessions[i];
		uint64_t sign_ns = session->committed.sign_ns;

		encode_session_age(publisher->ages + i * (size_t)ENCODE_AGE_SIZE,
				   session->published.keys,
				   now_ns > sign_ns ? now_ns - sign_ns : 0);
	}
	ages_at = snapshot_log_append(&publisher->log, publisher->ages,
				      publisher->list.count * (uint64_t)ENCODE_AGE_SIZE);
	for (uint32_t i = 0; i < publisher->list.count; i++) {
		struct shmbus_snapshot_extent *extent = &publisher->extents[1 + 2 * (size_t)i];

		extent[0].position = ages_at + i * (uint64_t)ENCODE_AGE_SIZE;
		extent[0].size = ENCODE_AGE_SIZE;
		extent[1].position = publisher->list.sessions[i]->published.position;
		extent[1].size = publisher->list.sessions[i]->published.size;
	}
}

/* What a tick can write at most: the whole document, its ages and its index. */
static uint64_t document_size(const struct publisher *publisher)
{
	uint64_t bytes = publisher->prefix.size + sizeof(struct shmbus_snapshot_index) +
			 2 * sizeof(struct shmbus_snapshot_extent) + SHMBUS_LINE_SIZE;

	for (uint32_t i = 0; i < publisher->list.count; i++)
		bytes += publisher->list.sessions[i]->published.size + 8 + ENCODE_AGE_SIZE +
			 2 * sizeof(struct shmbus_snapshot_extent);
	return bytes;
}

/* Makes sure that a tick writes at most a quarter of the log, so that nothing of the newest
 * document, and little of the one before, is overwritten. */
static int log_reserve(struct publisher *publisher)
{
	uint64_t needed = 4 * document_size(publisher);
	int error;

	if (needed <= publisher->log.size)
		return 0;
	error = snapshot_log_grow(&publisher->log, 2 * needed);
	if (error != 0)
		return error;
	for (uint32_t i = 0; i < publisher->list.count; i++) {
		struct session_published *published = &publisher->list.sessions[i]->published;

		if (!published->pending && !published->waiting)
			published->position = snapshot_log_carry(
				&publisher->log, published->position, published->size);
	}
	snapshot_log_leave(&publisher->log);
	return 0;
}

static void document_publish(struct publisher *publisher, uint64_t now_ns)
{
	struct encode_agent *numbers = &publisher->numbers;
	uint64_t written;
	int error;

	numbers->seq = publisher->log.seq + 1;
	numbers->time_unix_ns = clock_unix_ns();
	numbers->interval_ns = publisher->agent->options.interval_ns;
	self_measure(publisher, now_ns);
	sessions_count(publisher);
	sessions_encode(publisher);
	prefix_encode(publisher);
	error = log_reserve(publisher);
	if (error != 0) {
		/* What is encoded waits: sessions stay pending and are encoded again. */
		if (publisher->failures++ == 0)
			log_line("cannot publish: %s; free space in /dev/shm", strerror(-error));
		for (uint32_t i = 0; i < publisher->list.count; i++)
			publisher->list.sessions[i]->committed.dirty |=
				publisher->list.sessions[i]->published.pending;
		return;
	}
	if (publisher->failures != 0)
		log_line("publishing again, after %u snapshots were not", publisher->failures);
	publisher->failures = 0;
	written = publisher->log.position;
	sessions_append(publisher);
	publisher->extents[0].size = publisher->prefix.size;
	publisher->extents[0].position = snapshot_log_append(
		&publisher->log, publisher->prefix.data, publisher->prefix.size);
	extents_list(publisher, now_ns);
	error = snapshot_log_publish(&publisher->log, publisher->extents,
				     1 + 2 * (uint64_t)publisher->list.count, numbers->time_unix_ns,
				     now_ns, numbers->interval_ns);
	if (error != 0) {
		log_line("cannot make the snapshot in /dev/shm: %s", strerror(-error));
		agent_fail(publisher->agent);
	}
	numbers->publish_bytes = publisher->log.position - written;
	numbers->publish_ns = clock_monotonic_ns() - now_ns;
}

static void tick(struct publisher *publisher)
{
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t interval_ns = publisher->agent->options.interval_ns;

	rcu_read_lock();
	sessions_list(publisher);
	slices_advance_all(publisher, now_ns / 1000000000u);
	/* Half a millisecond of slack: a tick that comes a bit early is still this one. */
	if (now_ns + 500000 >= publisher->next_ns) {
		document_publish(publisher, now_ns);
		publisher->next_ns += interval_ns;
		if (publisher->next_ns <= now_ns)
			publisher->next_ns = now_ns + interval_ns;
	}
	rcu_read_unlock();
}

static bool publisher_init(struct publisher *publisher)
{
	uint32_t window = SHMBUS_WINDOW_MAX;
	int error = snapshot_log_open(&publisher->log, publisher->agent->options.bus,
				      publisher->agent->options.snapshot_mode, LOG_SIZE_FIRST);

	if (error != 0) {
		log_line("cannot make the snapshot in /dev/shm: %s", strerror(-error));
		return false;
	}
	publisher->list = SESSION_LIST_EMPTY;
	publisher->scratch = window_scratch_new(window);
	msgpack_sbuffer_init(&publisher->buffer);
	msgpack_sbuffer_init(&publisher->prefix);
	return publisher->scratch != NULL && extents_reserve(publisher, 1);
}

static void publisher_free(struct publisher *publisher)
{
	snapshot_log_close(&publisher->log);
	window_scratch_free(publisher->scratch);
	msgpack_sbuffer_destroy(&publisher->buffer);
	msgpack_sbuffer_destroy(&publisher->prefix);
	session_list_free(&publisher->list);
	free(publisher->extents);
	free(publisher->ages);
}

void *publish_thread(void *data)
{
	struct publisher publisher = {.agent = data};
	struct agent *agent = data;
	struct checkpoint *checkpoint = &agent->checkpoint;
	uint64_t done = 0;
	bool able;

	rcu_register_thread();
	able = publisher_init(&publisher);
	if (!able)
		agent_fail(agent);
	while (able && !agent_stopping(agent)) {
		uint32_t seen = event_value(&agent->publish_event);
		/* A-checkpoint acquire: the committed state is whole; pairs with R-checkpoint. */
		uint64_t taken = atomic_load_explicit(&checkpoint->taken, memory_order_acquire);

		if (taken == done) {
			event_wait(&agent->publish_event, seen, clock_monotonic_ns() + 1000000000u);
			continue;
		}
		tick(&publisher);
		done = taken;
		/* R-published release: the committed state is read no more. */
		atomic_store_explicit(&checkpoint->published, taken, memory_order_release);
	}
	publisher_free(&publisher);
	rcu_unregister_thread();
	return NULL;
}

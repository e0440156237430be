/* SPDX-License-Identifier: MIT */
/*
 * publish.c - after each checkpoint: time windows move on, sessions that changed are encoded,
 * and every interval the document is put in place.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ahead.h"
#include "log.h"
#include "process.h"
#include "publish.h"

#define LOG_SIZE_FIRST (1u << 20)
#define BUSY_RATIO 0.01 /* of a processor */
#define BUSY_NS 10000000000u
#define NS_PER_S 1000000000u

/* ---- the list of sessions ---- */

/* Under rcu_read_lock(), as long as the list is used. False: without memory it lacks some, until
 * it is made again. */
static bool sessions_list(struct publisher *publisher)
{
	struct session_list *list = &publisher->list;
	bool whole;

	if (!session_list_update(list, &publisher->agent->registry))
		return true;
	whole = session_list_whole(list);
	session_list_known(list);
	if (!extents_reserve(publisher, list->count)) {
		list->count = publisher->capacity;
		list->generation = UINT64_MAX;
		whole = false;
	}
	session_list_sort(list);
	return whole;
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

static void totals_slices_advance(struct publisher *publisher, uint64_t second)
{
	struct totals *totals = &publisher->agent->totals;

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

/* Of a session without news its metrics are not even looked at. */
static void session_slices_advance(struct session *session, uint64_t second)
{
	struct session_published *published = &session->published;
	uint64_t due_s = UINT64_MAX;

	if (published->final)
		return;
	if (!must_encode(session) && second < published->due_s) {
		published->seen_s = second;
		return;
	}
	for (uint32_t i = 0; i < session->committed.metric_count; i++) {
		struct metric *metric = session->metrics[i];
		uint64_t metric_due_s;

		if (session->committed.dirty)
			ahead_slices(session, i + 1);
		if (!metric->timer)
			continue;
		slices_rest(&metric->slices, published->seen_s);
		if (slices_advance_one(&metric->slices, second, &metric->committed,
				       lifetime_peak_take(&metric->committed.lifetime)))
			session->committed.dirty = true;
		metric_due_s = slices_due(&metric->slices, metric->committed.lifetime.count);
		due_s = metric_due_s < due_s ? metric_due_s : due_s;
	}
	published->due_s = due_s;
}

static void session_encode(struct publisher *publisher, struct session *session)
{
	struct session_published *published = &session->published;
	msgpack_packer packer;

	/* Until it is in the document. */
	session->committed.dirty = true;
	put_buffer_clear(&publisher->buffer);
	msgpack_packer_init(&packer, &publisher->buffer, put_buffer_write);
	published->process_version =
		atomic_load_explicit(&session->process.version, memory_order_relaxed);
	published->bytes = session_bytes(session);
	published->valued = totals_gauges_any(session);
	published->keys = encode_session(&packer, session, publisher->scratch);
	document_add(publisher, session);
	publisher->numbers.encoded_sessions++;
}

static void session_count(struct publisher *publisher, const struct session *session)
{
	struct encode_agent *numbers = &publisher->numbers;

	/* Of one that is only kept as a document less than when that was encoded. */
	numbers->memory_bytes +=
		session->metrics != NULL ? session->published.bytes : session_bytes(session);
	if (session->committed.state >= SESSION_ENDED)
		return;
	numbers->sessions_active++;
	if (session->published.valued)
		totals_gauges_merge(&publisher->agent->totals, session);
}

/* The one way through all sessions: time windows move on, and where a document is due what has
 * changed is encoded. */
static void sessions_pass(struct publisher *publisher, uint64_t second, bool due)
{
	const struct session_list *list = &publisher->list;

	for (uint32_t i = 0; i < list->count; i++) {
		struct session *session = list->sessions[i];
		const struct session *next = i + 1 < list->count ? list->sessions[i + 1] : NULL;

		/* Of one without news little is looked at. */
		if (next != NULL && !next->committed.dirty)
			next = NULL;
		if (i + 2 < list->count)
			ahead_session(list->sessions[i + 2]);
		if (next != NULL)
			ahead_metrics(next);
		session_slices_advance(session, second);
		if (next != NULL)
			ahead_slices(next, UINT32_MAX);
		if (due) {
			if (publisher->error == 0 && must_encode(session))
				session_encode(publisher, session);
			session_count(publisher, session);
		}
		if (next != NULL)
			ahead_slices(next, 0);
	}
}

static void sessions_encode(struct publisher *publisher, uint64_t second)
{
	struct encode_agent *numbers = &publisher->numbers;
	const struct agent *agent = publisher->agent;

	numbers->encoded_sessions = 0;
	numbers->sessions_active = 0;
	numbers->memory_bytes = 0;
	totals_gauges_reset(&publisher->agent->totals);
	sessions_pass(publisher, second, true);
	numbers->sessions_ended = agent->checkpoint.numbers.sessions_ended;
	numbers->sessions_lost = agent->checkpoint.numbers.sessions_lost;
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

	put_buffer_clear(&publisher->prefix);
	msgpack_packer_init(&packer, &publisher->prefix, put_buffer_write);
	encode_prefix(&packer, publisher->agent, &publisher->numbers, publisher->scratch);
}

static void document_publish(struct publisher *publisher, uint64_t now_ns, bool whole)
{
	struct encode_agent *numbers = &publisher->numbers;

	numbers->seq = publisher->log.seq + 1;
	numbers->time_unix_ns = clock_unix_ns();
	numbers->interval_ns = publisher->agent->options.interval_ns;
	self_measure(publisher, now_ns);
	publisher->error = whole ? 0 : -ENOMEM;
	document_begin(publisher);
	sessions_encode(publisher, now_ns / NS_PER_S);
	prefix_encode(publisher);
	if (document_end(publisher, now_ns) != 0)
		return;
	numbers->drain_lag_ns = 0;
	numbers->publish_bytes = publisher->written + publisher->log.written;
	numbers->publish_ns = clock_monotonic_ns() - now_ns;
	snapshot_log_touch(&publisher->log);
}

static void tick(struct publisher *publisher)
{
	const struct checkpoint *checkpoint = &publisher->agent->checkpoint;
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t interval_ns = publisher->agent->options.interval_ns;
	bool whole;

	/* There may be many checkpoints to a snapshot. */
	if (checkpoint->numbers.drain_lag_ns > publisher->numbers.drain_lag_ns)
		publisher->numbers.drain_lag_ns = checkpoint->numbers.drain_lag_ns;
	rcu_read_lock();
	whole = sessions_list(publisher);
	totals_slices_advance(publisher, now_ns / NS_PER_S);
	/* Half a millisecond of slack: a tick that comes a bit early is still this one. */
	if (now_ns + 500000 >= publisher->next_ns) {
		document_publish(publisher, now_ns, whole);
		publisher->next_ns += interval_ns;
		if (publisher->next_ns <= now_ns)
			publisher->next_ns = now_ns + interval_ns;
	} else {
		sessions_pass(publisher, now_ns / NS_PER_S, false);
	}
	rcu_read_unlock();
}

static bool publisher_init(struct publisher *publisher)
{
	uint32_t window = SHMBUS_WINDOW_MAX;
	const struct options *options = &publisher->agent->options;
	gid_t group = options->snapshot_group ? options->snapshot_gid : (gid_t)-1;
	int error = snapshot_log_open(&publisher->log, options->bus, options->snapshot_mode, group,
				      LOG_SIZE_FIRST);

	if (error != 0) {
		log_line("cannot make the snapshot in /dev/shm: %s", strerror(-error));
		return false;
	}
	publisher->list = SESSION_LIST_EMPTY;
	publisher->scratch = window_scratch_new(window);
	msgpack_sbuffer_init(&publisher->buffer.bytes);
	msgpack_sbuffer_init(&publisher->prefix.bytes);
	if (publisher->scratch != NULL && extents_reserve(publisher, 1))
		return true;
	log_line("cannot publish: %s", strerror(ENOMEM));
	return false;
}

static void publisher_free(struct publisher *publisher)
{
	snapshot_log_close(&publisher->log);
	window_scratch_free(publisher->scratch);
	msgpack_sbuffer_destroy(&publisher->buffer.bytes);
	msgpack_sbuffer_destroy(&publisher->prefix.bytes);
	session_list_free(&publisher->list);
	free(publisher->extents);
	free(publisher->ages);
}

void *publish_thread(void *data)
{
	struct publisher publisher = {.agent = data};
	struct agent *agent = data;
	struct turns *turns = &agent->checkpoint.turns;
	uint64_t done = 0;
	bool able;

	rcu_register_thread();
	able = publisher_init(&publisher);
	if (!able)
		agent_fail(agent);
	while (able && !agent_stopping(agent)) {
		uint32_t seen = event_value(&agent->publish_event);
		uint64_t taken = turns_taken(turns);

		if (taken == done) {
			event_wait(&agent->publish_event, seen, clock_monotonic_ns() + NS_PER_S);
			continue;
		}
		tick(&publisher);
		done = taken;
		turns_done(turns, taken);
	}
	publisher_free(&publisher);
	rcu_unregister_thread();
	return NULL;
}

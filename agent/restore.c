/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "drain.h"
#include "log.h"
#include "restore.h"
#include "stored_check.h"

struct restoring {
	struct agent *agent;
	struct session **sessions; /* by key, once they are sorted */
	uint32_t count;
	uint32_t capacity;
	uint32_t sessions_left_out;
	uint32_t cells_left_out;
	uint32_t totals_over; /* for which there is no room now */
	bool renumbered;      /* totals have other numbers now */
};

static struct store *store_of(const struct restoring *restoring)
{
	return &restoring->agent->persist.store;
}

/* The constant part of a cell, where it is as large as it should be. */
static bool constant_read(const struct cell *cell, void *out, uint32_t size)
{
	if (cell->header->constant_size != size)
		return false;
	memcpy(out, cell_constant(cell), size);
	return true;
}

/* ---- series ---- */

/* A series that was found sound. */
static bool series_load(struct series *series, const struct stored_series *stored)
{
	const struct histogram histogram = {
		.buckets = (uint64_t *)(uintptr_t)(stored + 1),
		.zero_count = stored->zero_count,
		.first = stored->first,
		.length = stored->length,
	};

	if (!histogram_copy(&series->histogram, &histogram))
		return false;
	series->lifetime = stored->lifetime;
	series->violations = stored->violations;
	series->worst = stored->worst;
	series->deadline = stored->deadline;
	return true;
}

/* The window in a cell's body, as of the last commit; NULL where there is none. */
static struct window *window_load(const struct cell *cell, uint32_t window_size,
				  const struct stored_series *stored)
{
	struct window *window = cell_body(cell);

	if (cell->header->body_size < sizeof *window || window->size != window_size ||
	    cell->header->body_size < window_bytes(window))
		return NULL;
	window->folded = stored->folded;
	window->next = stored->next;
	return window;
}

/* ---- totals ---- */

static bool total_fill(struct total *total, const struct cell *cell,
		       const struct stored_descriptor *descriptor)
{
	uint32_t size;
	const struct stored_total *stored = cell_read(cell, &size);
	struct window *window;

	if (size < sizeof *stored)
		return false;
	if (total->entry.kind != SHMBUS_TIMER) {
		total->sessions = total->kept_sessions = stored->sessions;
		total->counter = total->kept_counter = stored->counter;
		return true;
	}
	size -= offsetof(struct stored_total, series);
	if (!stored_series_sound(&stored->series, size, descriptor->window_size))
		return false;
	window = window_load(cell, descriptor->window_size, &stored->series);
	if (window == NULL || !series_load(&total->kept, &stored->series) ||
	    !series_load(&total->series, &stored->series))
		return false;
	total->sessions = total->kept_sessions = stored->sessions;
	/* With another --window now: the samples move to a window of that size. */
	if (window->size != total->series.window->size) {
		window_append_tail(total->series.window, window, 0);
		return true;
	}
	window_free(total->series.window);
	total->series.window = window;
	return true;
}

/* With a smaller --max-metrics now: what finished sessions gave it has no name any more. Those
 * before it keep their numbers. */
static void total_overflow(struct restoring *restoring, struct cell *cell)
{
	struct agent *agent = restoring->agent;
	uint32_t size;
	const struct stored_total *stored = cell_read(cell, &size);

	if (size >= sizeof *stored) {
		agent->persist.agent.overflow += stored->series.lifetime.count;
		agent->totals.overflow += stored->series.lifetime.count;
	}
	restoring->totals_over++;
	cell_drop(store_of(restoring), cell);
}

static void total_load(struct restoring *restoring, struct cell cell)
{
	struct totals *totals = &restoring->agent->totals;
	struct stored_descriptor descriptor;
	struct total *total = NULL;

	if (constant_read(&cell, &descriptor, sizeof descriptor) &&
	    stored_descriptor_sound(&descriptor))
		total = totals_of(totals, &descriptor.entry);
	if (total == NULL && totals->count == totals->capacity) {
		total_overflow(restoring, &cell);
		return;
	}
	/* One that is not new has its cell already. */
	if (total == NULL || cell_taken(&total->cell) || !total_fill(total, &cell, &descriptor)) {
		restoring->cells_left_out++;
		restoring->renumbered = true;
		cell_drop(store_of(restoring), &cell);
		return;
	}
	restoring->renumbered |= total->number != descriptor.number;
	if (total->entry.kind == SHMBUS_TIMER && total->series.window != cell_body(&cell))
		cell_drop(store_of(restoring), &cell); /* it is saved anew */
	else
		total->cell = cell;
}

static int by_number(const void *left, const void *right)
{
	const struct stored_descriptor *a = cell_constant(left), *b = cell_constant(right);

	return (a->number > b->number) - (a->number < b->number);
}

/* In the order of their numbers, which other cells refer to. */
static void totals_load(struct restoring *restoring)
{
	struct cell *cells = NULL, cell;
	uint32_t count = 0, capacity = 0;
	struct cell_header *at = NULL;

	while ((at = store_next(store_of(restoring), at, &cell)) != NULL) {
		if (cell_kind(&cell) != CELL_TOTAL)
			continue;
		if (cell.header->constant_size != sizeof(struct stored_descriptor)) {
			cell_drop(store_of(restoring), &cell);
			continue;
		}
		if (count == capacity) {
			struct cell *larger;

			capacity = capacity == 0 ? 64 : capacity * 2;
			larger = realloc(cells, capacity * sizeof *cells);
			if (larger == NULL)
				break;
			cells = larger;
		}
		cells[count++] = cell;
	}
	if (count != 0)
		qsort(cells, count, sizeof *cells, by_number);
	for (uint32_t i = 0; i < count; i++)
		total_load(restoring, cells[i]);
	free(cells);
}

/* ---- sessions ---- */

static bool session_keep(struct restoring *restoring, struct session *session)
{
	if (restoring->count == restoring->capacity) {
		uint32_t capacity = restoring->capacity == 0 ? 64 : restoring->capacity * 2;
		struct session **larger =
			realloc(restoring->sessions, capacity * sizeof *restoring->sessions);

		if (larger == NULL)
			return false;
		restoring->sessions = larger;
		restoring->capacity = capacity;
	}
	restoring->sessions[restoring->count++] = session;
	return true;
}

static bool same_segment(const struct shmbus_consumer *consumer,
			 const struct stored_session *identity)
{
	struct stat status;

	return fstat(consumer->fd, &status) == 0 && status.st_dev == identity->device &&
	       status.st_ino == identity->inode &&
	       memcmp(&consumer->header, &identity->header,
		      offsetof(struct shmbus_header, changes)) == 0;
}

/* Attaches to the segment if it is still there, and still the same; else all that is left is
 * what was stored. */
static struct shmbus_consumer *consumer_make(const struct stored_session *identity, bool attach)
{
	struct shmbus_consumer *consumer = calloc(1, sizeof *consumer);

	if (consumer == NULL)
		return NULL;
	if (attach && shmbus_consumer_attach(consumer, identity->segment) == 0) {
		if (same_segment(consumer, identity) &&
		    shmbus_consumer_writers_update(consumer) == 0)
			return consumer;
		shmbus_consumer_detach(consumer);
	}
	memset(consumer, 0, sizeof *consumer);
	consumer->fd = -1;
	consumer->uid = identity->uid;
	memcpy(&consumer->header, &identity->header, sizeof consumer->header);
	memcpy(consumer->segment, identity->segment, sizeof consumer->segment);
	return consumer;
}

/* A session with nothing in it but who it is. */
static struct session *session_make(const struct stored_session *identity, bool attach)
{
	struct shmbus_consumer *consumer = consumer_make(identity, attach);
	struct session *session;

	if (consumer == NULL)
		return NULL;
	session = session_new(consumer, identity->key);
	if (session == NULL) {
		if (consumer->fd >= 0)
			shmbus_consumer_detach(consumer);
		free(consumer);
		return NULL;
	}
	session->device = identity->device;
	session->inode = identity->inode;
	return session;
}

/* The reading goes on after the last sample that counts. A head beyond it was given back by an
 * agent that had no room to save what it had read. */
static void writer_load(struct session *session, uint32_t i, const struct stored_writer *stored)
{
	struct writer_live *live = &session->live.writers[i];
	struct shmbus_consumer_writer *writer = &session->consumer->writers[i];

	live->account = stored->account;
	live->correlation_id = stored->correlation_id;
	live->wait_ns = stored->wait_ns;
	live->position = stored->position;
	session->writer_names[i] = stored->name;
	if (i >= session->consumer->writer_count)
		return;
	if ((int64_t)(writer->ring.position - live->position) > 0) {
		live->account.before += writer->ring.position - live->position;
		live->position = writer->ring.position;
	}
	writer->ring.position = live->position;
	live->released = live->position - 1; /* give it back in any case */
}

static bool state_fill(struct session *session, const struct cell *cell)
{
	uint32_t size;
	const struct stored_state *stored = cell_read(cell, &size);
	struct session_live *live = &session->live;
	const struct stored_writer *writers = (const void *)(stored + 1);
	const struct shmbus_derived_entry *derived;

	if (!stored_state_sound(stored, size, &session->consumer->header))
		return false;
	/* A segment that has fewer writers now is one to stay away from. */
	if (session->consumer->fd >= 0 && session->consumer->writer_count < stored->writer_count)
		shmbus_consumer_detach(session->consumer);
	derived = (const void *)(writers + stored->writer_count);
	for (uint32_t i = 0; i < stored->writer_count; i++)
		writer_load(session, i, &writers[i]);
	memcpy(session->derived, derived, stored->derived_count * sizeof *derived);
	memcpy(live->labels, derived + stored->derived_count,
	       stored->label_count * sizeof *live->labels);
	memcpy(live->reason, stored->reason, sizeof live->reason);
	live->metric_count = stored->metric_count;
	live->writer_count = stored->writer_count;
	live->derived_count = stored->derived_count;
	live->label_count = stored->label_count;
	live->flags = stored->flags;
	live->overflow = stored->overflow;
	live->sign_ns = stored->sign_ns;
	live->end_time_unix_ns = stored->end_time_unix_ns;
	live->state = (enum session_state)stored->state;
	atomic_store_explicit(&session->closed, stored->closed != 0, memory_order_relaxed);
	if (session->consumer->fd < 0)
		session->consumer->segment_size = stored->shm_bytes;
	return true;
}

static void session_load(struct restoring *restoring, struct cell cell)
{
	struct stored_session identity;
	struct session *session = NULL;

	if (constant_read(&cell, &identity, sizeof identity) &&
	    stored_session_sound(&identity, restoring->agent->options.bus))
		session = session_make(&identity, true);
	if (session != NULL) {
		session->cell = cell;
		if (state_fill(session, &cell) && session_keep(restoring, session))
			return;
		session->live.metric_count = 0;
		if (session->consumer->fd >= 0)
			shmbus_consumer_detach(session->consumer);
		session_free(session);
	}
	restoring->sessions_left_out++;
	cell_drop(store_of(restoring), &cell);
}

/* A session that had finished before: its document, until the TTL has passed. */
static void finished_load(struct restoring *restoring, struct cell cell)
{
	struct stored_finished finished;
	struct session *session;
	uint64_t now_ns = clock_monotonic_ns();

	if (!constant_read(&cell, &finished, sizeof finished) ||
	    !stored_session_sound(&finished.session, restoring->agent->options.bus) ||
	    finished.size > cell.header->body_size || finished.size == 0 ||
	    (finished.state != SESSION_ENDED && finished.state != SESSION_LOST) ||
	    finished.keys == 0 || finished.keys > UINT16_MAX ||
	    !stored_document_sound(cell_body(&cell), finished.size,
				   2 * (uint64_t)(finished.keys - 1)))
		goto left_out;
	session = session_make(&finished.session, false); /* it is not looked for any more */
	if (session == NULL)
		goto left_out;
	session_forget(session);
	session->published.document = malloc((size_t)finished.size);
	if (session->published.document == NULL || !session_keep(restoring, session)) {
		session_free(session);
		goto left_out;
	}
	memcpy(session->published.document, cell_body(&cell), (size_t)finished.size);
	session->published.size = finished.size;
	session->published.keys = finished.keys;
	session->published.waiting = true;
	session->unremoved = true; /* if its segment is there still, it was not to be removed */
	session->published.final = true;
	session->committed.state = (enum session_state)finished.state;
	session->live.state = session->committed.state;
	session->committed.sign_ns = finished.sign_ns;
	session->finished_cell = cell;
	atomic_store(&session->gone_ns, finished.gone_ns < now_ns ? finished.gone_ns : now_ns);
	atomic_store(&session->forgotten, true);
	atomic_store(&session->stage, SESSION_GONE);
	return;

left_out:
	restoring->sessions_left_out++;
	cell_drop(store_of(restoring), &cell);
}

/* ---- metrics ---- */

static int by_key(const void *left, const void *right)
{
	const struct session *a = *(struct session *const *)left;
	const struct session *b = *(struct session *const *)right;

	return (a->key > b->key) - (a->key < b->key);
}

static struct session *session_of(const struct restoring *restoring, uint64_t key)
{
	struct session wanted = {.key = key}, *pointer = &wanted, **found;

	if (restoring->count == 0)
		return NULL;
	found = bsearch(&pointer, restoring->sessions, restoring->count,
			sizeof *restoring->sessions, by_key);
	return found != NULL ? *found : NULL;
}

static bool metric_fill(struct metric *metric, const struct cell *cell, uint32_t window_size)
{
	uint32_t size;
	const struct stored_metric *stored = cell_read(cell, &size);
	struct window *window;

	if (size < offsetof(struct stored_metric, series))
		return false;
	metric->live_bits = stored->bits;
	metric->live_present = stored->present != 0;
	metric->period_ns = stored->period_ns;
	metric->quantum = stored->quantum;
	if (!metric->timer)
		return true;
	size -= offsetof(struct stored_metric, series);
	if (!stored_series_sound(&stored->series, size, window_size) ||
	    !series_load(&metric->live, &stored->series))
		return false;
	window = window_load(cell, window_size, &stored->series);
	if (window == NULL || stored->counted > window->folded)
		return false;
	window_free(metric->live.window);
	metric->live.window = window;
	metric->counted = stored->counted;
	return true;
}

static void metric_load(struct restoring *restoring, struct cell cell)
{
	struct stored_descriptor descriptor;
	struct session *session = NULL;
	struct metric *metric = NULL;

	if (constant_read(&cell, &descriptor, sizeof descriptor) &&
	    stored_descriptor_sound(&descriptor) &&
	    (descriptor.entry.window == 0 || descriptor.entry.window == descriptor.window_size))
		session = session_of(restoring, descriptor.key);
	if (session != NULL && descriptor.number < session->live.metric_count &&
	    session->metrics != NULL && session->metrics[descriptor.number] == NULL)
		metric = metric_new(&descriptor.entry,
				    descriptor.window_size != 0 ? descriptor.window_size : 1);
	if (metric == NULL || !metric_fill(metric, &cell, descriptor.window_size)) {
		if (metric != NULL)
			metric_free(metric);
		restoring->cells_left_out++;
		cell_drop(store_of(restoring), &cell);
		return;
	}
	metric->cell = cell;
	session->metrics[descriptor.number] = metric;
}

static void slices_restore(struct restoring *restoring, struct cell cell)
{
	struct stored_slices whose = {0};
	struct session *session;
	struct slices *slices = NULL;
	const struct series *series = NULL;
	struct cell *owner = NULL;
	struct totals *totals = &restoring->agent->totals;
	uint32_t size;
	const void *bytes = cell_read(&cell, &size);
	uint64_t now_s = clock_monotonic_ns() / 1000000000u;

	if (constant_read(&cell, &whose, sizeof whose) && whose.key == 0 &&
	    whose.number < totals->count && !restoring->renumbered) {
		slices = &totals->all[whose.number]->slices;
		series = &totals->all[whose.number]->series;
		owner = &totals->all[whose.number]->slices_cell;
	} else if ((session = session_of(restoring, whose.key)) != NULL &&
		   session->metrics != NULL && whose.number < session->live.metric_count &&
		   session->metrics[whose.number] != NULL) {
		slices = &session->metrics[whose.number]->slices;
		series = &session->metrics[whose.number]->live;
		owner = &session->metrics[whose.number]->slices_cell;
	}
	if (slices == NULL || cell_taken(owner)) {
		cell_drop(store_of(restoring), &cell);
		return;
	}
	/* Windows of more than there is belong to something that was left out. Where there are none
	 * they begin here: what the metric has is not of this second. */
	if (!slices_load(slices, bytes, size) || slices->count > series->lifetime.count ||
	    slices->began_s == 0 || slices->began_s > now_s ||
	    slices->now_s > now_s - slices->began_s) {
		slices_free(slices);
		slices_begin(slices, now_s, &series->histogram, &series->lifetime);
		cell_drop(store_of(restoring), &cell);
		return;
	}
	*owner = cell;
}

/* ---- all together ---- */

/* Whether every metric is there, with all samples that the writers' accounts have, and there is
 * memory for what is published of it. */
static bool metrics_whole(struct session *session)
{
	uint64_t aggregated = 0, folded = session->live.overflow;

	for (uint32_t i = 0; i < session->live.writer_count; i++)
		aggregated += session->live.writers[i].account.aggregated;
	for (uint32_t i = 0; i < session->live.metric_count; i++) {
		struct metric *metric = session->metrics[i];

		if (metric == NULL)
			return false;
		if (metric->timer && !series_commit(&metric->committed, &metric->live, NULL))
			return false;
		folded += metric->timer ? metric->live.lifetime.count : 0;
	}
	return aggregated == folded;
}

/* What a metric has is in the totals again. */
static void total_adopt(struct totals *totals, struct metric *metric)
{
	metric->total = totals_of(totals, &metric->entry);
	metric->total_refused = metric->total == NULL;
	if (metric->total == NULL) {
		totals->overflow += metric->timer ? metric->live.lifetime.count : 0;
	} else if (metric->timer) {
		series_add(&metric->total->series, &metric->live);
		window_append_tail(metric->total->series.window, metric->live.window,
				   metric->counted);
	} else if (metric->entry.kind == SHMBUS_COUNTER) {
		metric->total->counter += metric->live_bits;
	}
}

static void metrics_adopt(struct restoring *restoring, struct session *session)
{
	for (uint32_t i = 0; i < session->live.metric_count; i++) {
		struct metric *metric = session->metrics[i];

		session_metric_link(session, metric);
		metric->bits = metric->live_bits;
		metric->present = metric->live_present;
		metric->committed_period_ns = metric->period_ns;
		metric->committed_quantum = metric->quantum;
		total_adopt(&restoring->agent->totals, metric);
	}
	session->committed.metric_count = session->live.metric_count;
}

/* It stays in the list, without anything, until all cells have been looked at. */
static void session_leave_out(struct restoring *restoring, struct session *session)
{
	restoring->sessions_left_out++;
	for (uint32_t i = 0; i < session->live.metric_count; i++)
		if (session->metrics[i] != NULL)
			persist_metric_drop(&restoring->agent->persist, session->metrics[i]);
	cell_drop(store_of(restoring), &session->cell);
	cell_drop(store_of(restoring), &session->finished_cell);
	session_forget(session);
	atomic_store(&session->stage, SESSION_REMOVED);
}

static void accounts_adopt(struct restoring *restoring, struct session *session)
{
	struct checkpoint_numbers *numbers = &restoring->agent->checkpoint.numbers;
	struct session_committed *committed = &session->committed;

	for (uint32_t i = 0; i < session->live.writer_count; i++) {
		const struct writer_account *account = &session->live.writers[i].account;

		committed->aggregated += account->aggregated;
		committed->dropped += account->dropped_full + account->dropped_head;
	}
	committed->overflow = session->live.overflow;
	numbers->samples_total += committed->aggregated;
	numbers->dropped_total += committed->dropped;
	restoring->agent->totals.overflow += committed->overflow;
}

/* Live again, or finished: its rings were read to the end, or are gone. */
static void stage_set(struct session *session)
{
	struct session_live *live = &session->live;
	bool attached = session->consumer->fd >= 0;

	if (live->state >= SESSION_ENDED || !attached) {
		if (live->state < SESSION_ENDED) {
			live->state = SESSION_LOST;
			live->end_time_unix_ns = clock_unix_ns();
			snprintf(live->reason, sizeof live->reason,
				 "its segment went away while no agent ran");
		}
		live->dying = true;
		atomic_store(&session->stage, SESSION_DRAINED);
		return;
	}
	drain_give_back(session);
}

static bool known(struct agent *agent, uint64_t key)
{
	bool found;

	rcu_read_lock();
	found = registry_find(&agent->registry, key) != NULL;
	rcu_read_unlock();
	return found;
}

static void session_adopt(struct restoring *restoring, struct session *session)
{
	struct agent *agent = restoring->agent;

	if (session->published.final && registry_add(&agent->registry, session))
		return;
	if (session->published.final || !metrics_whole(session) || known(agent, session->key)) {
		session_leave_out(restoring, session);
		return;
	}
	metrics_adopt(restoring, session);
	accounts_adopt(restoring, session);
	stage_set(session);
	session->live.dirty = DIRTY_ALL;
	atomic_fetch_add(&agent->sessions_total, 1);
	registry_add(&agent->registry, session);
}

static void agent_load(struct restoring *restoring, struct cell cell)
{
	struct persist *persist = &restoring->agent->persist;
	uint32_t size;
	const struct stored_agent *stored = cell_read(&cell, &size);

	if (size != sizeof *stored || cell_taken(&persist->agent_cell)) {
		cell_drop(&persist->store, &cell);
		return;
	}
	persist->agent = *stored;
	persist->agent_cell = cell;
}

static void recents_load(struct restoring *restoring, struct cell cell)
{
	struct agent *agent = restoring->agent;
	uint32_t size;
	const void *bytes = cell_read(&cell, &size);

	if (restoring->renumbered || cell_taken(&agent->persist.recent_cell) ||
	    !recent_load(&agent->recent, bytes, size, &agent->totals)) {
		cell_drop(store_of(restoring), &cell);
		return;
	}
	agent->persist.recent_cell = cell;
	agent->persist.recent_stored = agent->recent.finished;
}

static void each(struct restoring *restoring, enum cell_kind kind,
		 void (*load)(struct restoring *restoring, struct cell cell))
{
	struct cell_header *at = NULL;
	struct cell cell;

	while ((at = store_next(store_of(restoring), at, &cell)) != NULL)
		if (cell_kind(&cell) == kind)
			load(restoring, cell);
}

static void left_out_free(struct restoring *restoring)
{
	for (uint32_t i = 0; i < restoring->count; i++) {
		struct session *session = restoring->sessions[i];

		if (atomic_load(&session->stage) != SESSION_REMOVED)
			continue;
		if (session->consumer->fd >= 0)
			shmbus_consumer_detach(session->consumer);
		session_free(session);
	}
}

static void numbers_begin(struct agent *agent)
{
	const struct stored_agent *stored = &agent->persist.agent;

	agent->totals.overflow = stored->overflow;
	agent->checkpoint.numbers.samples_total = stored->samples;
	agent->checkpoint.numbers.dropped_total = stored->dropped;
	agent->checkpoint.numbers.clock_backward_total = stored->clock_backward_total;
	atomic_store(&agent->sessions_ended, stored->sessions_ended);
	atomic_store(&agent->sessions_lost, stored->sessions_lost);
	atomic_store(&agent->sessions_total, stored->sessions_ended + stored->sessions_lost);
}

void restore(struct agent *agent)
{
	struct restoring restoring = {.agent = agent};

	each(&restoring, CELL_AGENT, agent_load);
	numbers_begin(agent);
	totals_load(&restoring);
	each(&restoring, CELL_RECENT, recents_load);
	each(&restoring, CELL_SESSION, session_load);
	each(&restoring, CELL_FINISHED, finished_load);
	if (restoring.count != 0)
		qsort(restoring.sessions, restoring.count, sizeof *restoring.sessions, by_key);
	each(&restoring, CELL_METRIC, metric_load);
	for (uint32_t i = 0; i < restoring.count; i++)
		session_adopt(&restoring, restoring.sessions[i]);
	each(&restoring, CELL_SLICES, slices_restore);
	left_out_free(&restoring);
	if (restoring.count != 0)
		log_line("taken up from the last agent: %u sessions", restoring.count);
	if (restoring.sessions_left_out + restoring.cells_left_out != 0)
		log_line("the checkpoint is damaged in part: left out %u sessions, %u metrics",
			 restoring.sessions_left_out, restoring.cells_left_out);
	if (restoring.totals_over != 0)
		log_line("%u metrics of the last agent are more than --max-metrics: overflow",
			 restoring.totals_over);
	free(restoring.sessions);
	agent->persist.agent.incarnation++;
	persist_agent(&agent->persist);
	store_commit(&agent->persist.store);
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "kill_point.h"
#include "log.h"
#include "persist.h"

#define SPARE_BUCKETS 32u /* room for a histogram to grow before its cell is too small */

/* What another agent, or this one later, may have. */
static bool lacking(int error)
{
	return error == -ENOMEM || error == -EMFILE || error == -ENFILE || error == -EAGAIN;
}

int persist_open(struct persist *persist, const char *bus)
{
	int error;

	memset(persist, 0, sizeof *persist);
	error = store_open(&persist->store, bus);
	if (persist->store.reason[0] != '\0')
		log_line("%s", persist->store.reason);
	if (error == 0)
		return 0;
	if (persist->store.found && lacking(error)) {
		log_line("cannot take up the last agent's checkpoint: %s; it stays as it is",
			 strerror(-error));
		return error;
	}
	log_line("cannot keep a checkpoint in %s: %s", persist->store.path, strerror(-error));
	return 0;
}

void persist_close(struct persist *persist)
{
	store_close(&persist->store);
}

/* No room: counted, and said once. */
static bool room_said(struct persist *persist, bool room)
{
	if (room || !store_is_open(&persist->store))
		return room;
	if (persist->failures++ == 0)
		log_line("no room for the checkpoint: free space in /dev/shm");
	return false;
}

static bool cell_fits(const struct cell *cell, uint32_t size)
{
	return cell_taken(cell) && cell->header->copy_size >= size;
}

/* Takes a cell with room for a state of `size`, and some to spare, in the place of one that is too
 * small or not there. */
static bool cell_replace(struct persist *persist, struct cell *cell, const void *constant,
			 uint32_t constant_size, uint32_t size)
{
	struct cell larger;

	if (!cell_take(&persist->store, &larger, constant, constant_size, size + size / 4, 0))
		return false;
	cell_drop(&persist->store, cell);
	*cell = larger;
	return true;
}

/* ---- series ---- */

static uint32_t buckets_size(const struct series *series)
{
	return series->histogram.length * (uint32_t)sizeof(uint64_t);
}

/* The buckets go behind it. */
static void series_store(struct stored_series *out, const struct series *series)
{
	*out = (struct stored_series){
		.lifetime = series->lifetime,
		.violations = series->violations,
		.worst = series->worst,
		.deadline = series->deadline,
		.zero_count = series->histogram.zero_count,
		.first = series->histogram.first,
		.length = series->histogram.length,
	};
	if (series->histogram.length != 0)
		memcpy(out + 1, series->histogram.buckets, buckets_size(series));
}

static void window_store(struct stored_series *out, const struct window *window)
{
	out->folded = window->folded;
	out->next = window->next;
}

/* Makes sure that a cell has room for a state of `size`, with some to spare, and the window of the
 * series, if any, in its body. Another cell is taken else, and the one before it is freed. */
static bool cell_ready(struct persist *persist, struct cell *cell,
		       const struct stored_descriptor *descriptor, uint32_t size,
		       struct series *series)
{
	struct window *window = series->window;
	uint64_t body = window != NULL ? window_bytes(window) : 0;
	struct cell larger;

	if (cell_fits(cell, size) && (window == NULL || window == cell_body(cell)))
		return true;
	if (!cell_take(&persist->store, &larger, descriptor, sizeof *descriptor,
		       size + SPARE_BUCKETS * (uint32_t)sizeof(uint64_t), body))
		return false;
	if (window != NULL) {
		memcpy(cell_body(&larger), window, (size_t)body);
		series_window_lend(series, cell_body(&larger));
	}
	cell_drop(&persist->store, cell);
	*cell = larger;
	return true;
}

/* ---- sessions ---- */

static uint32_t metric_size(const struct metric *metric)
{
	if (!metric->timer)
		return offsetof(struct stored_metric, series);
	return (uint32_t)sizeof(struct stored_metric) + buckets_size(&metric->live);
}

static bool metric_ready(struct persist *persist, const struct session *session, uint32_t number)
{
	struct metric *metric = session->metrics[number];
	struct stored_descriptor descriptor = {
		.key = session->key,
		.number = number,
		.window_size = metric->timer ? metric->live.window->size : 0,
		.entry = metric->entry,
	};

	return cell_ready(persist, &metric->cell, &descriptor, metric_size(metric), &metric->live);
}

static void metric_save(struct persist *persist, struct metric *metric)
{
	struct stored_metric *out =
		cell_write(&persist->store, &metric->cell, CELL_METRIC, metric_size(metric));

	out->bits = metric->live_bits;
	out->present = metric->live_present;
	out->period_ns = metric->period_ns;
	out->quantum = metric->quantum;
	out->counted = 0;
	metric->dirty &= (uint8_t)~DIRTY_SAVE;
	if (!metric->timer)
		return;
	out->counted = metric->committed.window->folded;
	series_store(&out->series, &metric->live);
	window_store(&out->series, metric->live.window);
}

static uint32_t state_size(const struct session_live *live)
{
	return (uint32_t)(sizeof(struct stored_state) +
			  live->writer_count * sizeof(struct stored_writer) +
			  live->derived_count * sizeof(struct shmbus_derived_entry) +
			  live->label_count * sizeof(struct shmbus_consumer_label));
}

void persist_identity(const struct session *session, struct stored_session *out)
{
	*out = (struct stored_session){
		.key = session->key,
		.device = session->device,
		.inode = session->inode,
		.uid = session->consumer->uid,
	};
	memcpy(out->segment, session->consumer->segment, sizeof out->segment);
	memcpy(&out->header, &session->consumer->header, sizeof out->header);
}

static bool state_ready(struct persist *persist, struct session *session)
{
	uint32_t size = state_size(&session->live);
	struct stored_session identity;

	if (cell_fits(&session->cell, size))
		return true;
	persist_identity(session, &identity);
	return cell_replace(persist, &session->cell, &identity, sizeof identity, size);
}

static void writers_save(struct stored_writer *out, const struct session *session)
{
	for (uint32_t i = 0; i < session->live.writer_count; i++) {
		const struct writer_live *writer = &session->writers[i]->live;

		out[i] = (struct stored_writer){
			.account = writer->account,
			.position = writer->position,
			.correlation_id = writer->correlation_id,
			.wait_ns = writer->wait_ns,
			.name = session->writers[i]->name,
		};
	}
}

static void state_save(struct persist *persist, struct session *session)
{
	const struct session_live *live = &session->live;
	struct stored_state *out =
		cell_write(&persist->store, &session->cell, CELL_SESSION, state_size(live));
	uint8_t *at = (uint8_t *)(out + 1);

	*out = (struct stored_state){
		.state = live->state,
		.closed = atomic_load_explicit(&session->closed, memory_order_relaxed),
		.metric_count = live->metric_count,
		.writer_count = live->writer_count,
		.derived_count = live->derived_count,
		.label_count = live->label_count,
		.flags = live->flags,
		.changes = live->changes,
		.overflow = live->overflow,
		.sign_ns = live->sign_ns,
		.end_time_unix_ns = live->end_time_unix_ns,
		.shm_bytes = session->consumer->segment_size,
	};
	memcpy(out->reason, live->reason, sizeof out->reason);
	writers_save((struct stored_writer *)at, session);
	at += live->writer_count * sizeof(struct stored_writer);
	if (live->derived_count != 0)
		memcpy(at, session->derived, live->derived_count * sizeof *session->derived);
	at += live->derived_count * sizeof *session->derived;
	memcpy(at, live->labels, live->label_count * sizeof *live->labels);
}

/* First all that can fail: a session that is saved by half would count samples twice. */
static bool session_ready(struct persist *persist, struct session *session)
{
	for (uint32_t i = 0; i < session->live.metric_count; i++)
		if ((session->metrics[i]->dirty & DIRTY_SAVE) && !metric_ready(persist, session, i))
			return false;
	return state_ready(persist, session);
}

bool persist_session(struct persist *persist, struct session *session)
{
	if (!room_said(persist, session_ready(persist, session)))
		return false;
	for (uint32_t i = 0; i < session->live.metric_count; i++)
		if (session->metrics[i]->dirty & DIRTY_SAVE)
			metric_save(persist, session->metrics[i]);
	kill_point(KILL_SAVE);
	state_save(persist, session);
	session->live.dirty &= (uint8_t)~DIRTY_SAVE;
	return true;
}

/* ---- time windows ---- */

/* They are large and seldom saved: each time in a cell of their own, which counts with the commit
 * that frees the one before. */
static void slices_write(struct persist *persist, struct cell *cell, const struct slices *slices,
			 uint64_t key, uint64_t number)
{
	struct stored_slices whose = {key, number};
	uint64_t size = slices_saved_size(slices);
	struct cell fresh;

	if (size == 0 ||
	    !room_said(persist, cell_take(&persist->store, &fresh, &whose, sizeof whose, 0, size)))
		return;
	slices_save(slices, cell_body(&fresh));
	cell_write(&persist->store, &fresh, CELL_SLICES, 0);
	cell_drop(&persist->store, cell);
	*cell = fresh;
}

void persist_slices(struct persist *persist, struct session *session)
{
	for (uint32_t i = 0; i < session->committed.metric_count; i++) {
		struct metric *metric = session->metrics[i];

		if (metric->slices.count == metric->slices_saved)
			continue;
		metric->slices_saved = metric->slices.count;
		slices_write(persist, &metric->slices_cell, &metric->slices, session->key, i);
	}
}

void persist_total_slices(struct persist *persist, struct total *total)
{
	if (total->slices.count == total->slices_saved)
		return;
	total->slices_saved = total->slices.count;
	slices_write(persist, &total->slices_cell, &total->slices, 0, total->number);
}

/* ---- the end of a session ---- */

/* What the metric has given its total is now the total's own. */
static void metric_keep(struct persist *persist, const struct metric *metric)
{
	struct total *total = metric->total;

	if (total == NULL) {
		persist->agent.overflow += metric->timer ? metric->committed.lifetime.count : 0;
		return;
	}
	total->kept_sessions++;
	if (metric->timer)
		series_add(&total->kept, &metric->committed);
	else if (metric->entry.kind == SHMBUS_COUNTER)
		total->kept_counter += metric->bits;
	total->dirty = true;
}

static void document_save(struct persist *persist, struct session *session)
{
	const struct session_published *published = &session->published;
	struct stored_finished finished = {
		.sign_ns = session->committed.sign_ns,
		.gone_ns = atomic_load_explicit(&session->gone_ns, memory_order_relaxed),
		.size = published->size,
		.keys = published->keys,
		.state = session->committed.state,
	};
	struct cell cell;

	if (published->document == NULL)
		return;
	persist_identity(session, &finished.session);
	if (!room_said(persist, cell_take(&persist->store, &cell, &finished, sizeof finished, 8,
					  published->size)))
		return;
	memcpy(cell_body(&cell), published->document, (size_t)published->size);
	cell_write(&persist->store, &cell, CELL_FINISHED, 0);
	session->finished_cell = cell;
}

void persist_metric_drop(struct persist *persist, struct metric *metric)
{
	if (metric->live.window_lent)
		metric->live.window = NULL; /* it was in the cell */
	cell_drop(&persist->store, &metric->cell);
	cell_drop(&persist->store, &metric->slices_cell);
}

void persist_finish(struct persist *persist, struct session *session)
{
	const struct session_committed *committed = &session->committed;

	for (uint32_t i = 0; i < committed->metric_count; i++)
		metric_keep(persist, session->metrics[i]);
	persist->agent.samples += committed->aggregated;
	persist->agent.dropped += committed->dropped;
	persist->agent.overflow += committed->overflow;
	if (committed->state == SESSION_ENDED)
		persist->agent.sessions_ended++;
	else
		persist->agent.sessions_lost++;
	kill_point(KILL_FINISH);
	document_save(persist, session);
	for (uint32_t i = 0; i < session->live.metric_count; i++)
		persist_metric_drop(persist, session->metrics[i]);
	cell_drop(&persist->store, &session->cell);
}

void persist_forget(struct persist *persist, struct session *session)
{
	cell_drop(&persist->store, &session->finished_cell);
}

/* ---- the bus ---- */

static void total_save(struct persist *persist, struct total *total)
{
	bool timer = total->entry.kind == SHMBUS_TIMER;
	uint32_t size =
		(uint32_t)sizeof(struct stored_total) + (timer ? buckets_size(&total->kept) : 0);
	struct stored_descriptor descriptor = {
		.number = total->number,
		.window_size = timer ? total->series.window->size : 0,
		.entry = total->entry,
	};
	struct stored_total *out;

	if (!room_said(persist,
		       cell_ready(persist, &total->cell, &descriptor, size, &total->series)))
		return;
	out = cell_write(&persist->store, &total->cell, CELL_TOTAL, size);
	out->sessions = total->kept_sessions;
	out->counter = total->kept_counter;
	series_store(&out->series, &total->kept);
	if (timer)
		window_store(&out->series, total->series.window);
	total->dirty = false;
}

void persist_totals(struct persist *persist, struct totals *totals)
{
	for (uint32_t i = 0; i < totals->count && store_is_open(&persist->store); i++)
		if (totals->all[i]->dirty)
			total_save(persist, totals->all[i]);
}

void persist_recent(struct persist *persist, const struct recent *recent)
{
	struct cell *cell = &persist->recent_cell;
	uint32_t size = (uint32_t)recent_saved_size(recent);

	if (recent->finished == persist->recent_stored || !store_is_open(&persist->store))
		return;
	if (!room_said(persist, cell_fits(cell, size) || cell_replace(persist, cell, "", 0, size)))
		return;
	recent_save(recent, cell_write(&persist->store, cell, CELL_RECENT, size));
	persist->recent_stored = recent->finished;
}

void persist_agent(struct persist *persist)
{
	void *out;

	if (!cell_taken(&persist->agent_cell) &&
	    !room_said(persist, cell_take(&persist->store, &persist->agent_cell, "", 0,
					  sizeof persist->agent, 0)))
		return;
	out = cell_write(&persist->store, &persist->agent_cell, CELL_AGENT, sizeof persist->agent);
	memcpy(out, &persist->agent, sizeof persist->agent);
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "restoring.h"
#include "stored_check.h"

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

/* False with an error where there is no memory, and without where the cell makes no sense. */
static bool total_fill(struct restoring *restoring, struct total *total, const struct cell *cell,
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
	if (window == NULL)
		return false;
	if (!series_load(&total->kept, &stored->series) ||
	    !series_load(&total->series, &stored->series))
		return restoring_memory_lacks(restoring);
	total->sessions = total->kept_sessions = stored->sessions;
	/* With another --window now: the samples move to a window of that size. */
	if (window->size != total->series.window->size) {
		if (window_wide(window) && !series_widen(&total->series))
			return restoring_memory_lacks(restoring);
		window_append_tail(total->series.window, window, 0);
		return true;
	}
	series_window_lend(&total->series, window);
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
	cell_drop(restoring_store(restoring), cell);
}

static void total_load(struct restoring *restoring, struct cell cell)
{
	struct totals *totals = &restoring->agent->totals;
	struct stored_descriptor descriptor;
	struct total *total = NULL;
	bool sound = restoring_constant(&cell, &descriptor, sizeof descriptor) &&
		     stored_descriptor_sound(&descriptor);

	if (sound)
		total = totals_of(totals, &descriptor.entry);
	if (total == NULL && totals->count == totals->capacity) {
		total_overflow(restoring, &cell);
		return;
	}
	if (total == NULL && sound) {
		restoring_memory_lacks(restoring);
		return;
	}
	/* One that is not new has its cell already. */
	if (total == NULL || cell_taken(&total->cell) ||
	    !total_fill(restoring, total, &cell, &descriptor)) {
		restoring->cells_left_out++;
		restoring->renumbered = true;
		restoring_drop(restoring, &cell);
		return;
	}
	restoring->renumbered |= total->number != descriptor.number;
	if (total->entry.kind == SHMBUS_TIMER && total->series.window != cell_body(&cell))
		cell_drop(restoring_store(restoring), &cell); /* it is saved anew */
	else
		total->cell = cell;
}

static int by_number(const void *left, const void *right)
{
	const struct stored_descriptor *a = cell_constant(left), *b = cell_constant(right);

	return (a->number > b->number) - (a->number < b->number);
}

/* In the order of their numbers, which other cells refer to. */
void restoring_totals(struct restoring *restoring)
{
	struct cell *cells = NULL, cell;
	uint32_t count = 0, capacity = 0;
	struct cell_header *at = NULL;

	for (uint32_t left = restoring->cells[CELL_TOTAL]; left > 0;) {
		at = store_next(restoring_store(restoring), at, &cell);
		if (at == NULL)
			break;
		if (cell_kind(&cell) != CELL_TOTAL)
			continue;
		left--;
		if (cell.header->constant_size != sizeof(struct stored_descriptor)) {
			cell_drop(restoring_store(restoring), &cell);
			continue;
		}
		if (count == capacity) {
			struct cell *larger;

			capacity = capacity == 0 ? 64 : capacity * 2;
			larger = realloc(cells, capacity * sizeof *cells);
			if (larger == NULL) {
				restoring_memory_lacks(restoring);
				break;
			}
			cells = larger;
		}
		cells[count++] = cell;
	}
	if (count != 0)
		qsort(cells, count, sizeof *cells, by_number);
	for (uint32_t i = 0; restoring->error == 0 && i < count; i++)
		total_load(restoring, cells[i]);
	free(cells);
}

/* ---- metrics ---- */

int restoring_by_key(const void *left, const void *right)
{
	const struct session *a = *(struct session *const *)left;
	const struct session *b = *(struct session *const *)right;

	return (a->key > b->key) - (a->key < b->key);
}

static struct session *session_of(const struct restoring *restoring, uint64_t key)
{
	struct session wanted = {.key = key}, *pointer = &wanted, **found;

	if (restoring->list.count == 0)
		return NULL;
	found = bsearch(&pointer, restoring->list.sessions, restoring->list.count,
			sizeof *restoring->list.sessions, restoring_by_key);
	return found != NULL ? *found : NULL;
}

/* False with an error where there is no memory, and without where the cell makes no sense. */
static bool metric_fill(struct restoring *restoring, struct metric *metric, const struct cell *cell,
			uint32_t window_size)
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
	if (!stored_series_sound(&stored->series, size, window_size))
		return false;
	if (!series_load(&metric->live, &stored->series))
		return restoring_memory_lacks(restoring);
	window = window_load(cell, window_size, &stored->series);
	if (window == NULL || stored->counted > window->folded)
		return false;
	series_window_lend(&metric->live, window);
	metric->counted = stored->counted;
	return true;
}

void restoring_metric(struct restoring *restoring, struct cell cell)
{
	struct stored_descriptor descriptor;
	struct session *session = NULL;
	struct metric *metric = NULL;
	bool wanted;

	if (restoring_constant(&cell, &descriptor, sizeof descriptor) &&
	    stored_descriptor_sound(&descriptor) &&
	    (descriptor.entry.window == 0 || descriptor.entry.window == descriptor.window_size))
		session = session_of(restoring, descriptor.key);
	wanted = session != NULL && descriptor.number < session->live.metric_count &&
		 session->metrics != NULL && session->metrics[descriptor.number] == NULL;
	if (wanted)
		metric = metric_new(&descriptor.entry,
				    descriptor.window_size != 0 ? descriptor.window_size : 1);
	if (metric == NULL && wanted)
		restoring_memory_lacks(restoring);
	if (metric == NULL || !metric_fill(restoring, metric, &cell, descriptor.window_size)) {
		if (metric != NULL)
			metric_free(metric);
		restoring->cells_left_out++;
		restoring_drop(restoring, &cell);
		return;
	}
	metric->cell = cell;
	session->metrics[descriptor.number] = metric;
	session_window_count(session, metric, restoring->agent->options.window);
}

void restoring_slices(struct restoring *restoring, struct cell cell)
{
	struct stored_slices whose = {0};
	struct session *session;
	struct slices *slices = NULL;
	const struct series *series = NULL;
	struct cell *owner = NULL;
	struct totals *totals = &restoring->agent->totals;
	uint64_t now_s = clock_monotonic_ns() / 1000000000u;
	int error;

	if (restoring_constant(&cell, &whose, sizeof whose) && whose.key == 0 &&
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
	/* What has begun has had a cell already, a good one or a bad one. */
	if (slices == NULL || cell_taken(owner) || slices->began_s != 0) {
		cell_drop(restoring_store(restoring), &cell);
		return;
	}
	/* Windows of more than there is belong to something that was left out. Where there are none
	 * they begin here: what the metric has is not of this second. */
	error = slices_load(slices, cell_body(&cell), cell.header->body_size);
	if (error == -ENOMEM) {
		restoring_memory_lacks(restoring);
		return;
	}
	if (error != 0 || slices->count > series->lifetime.count || slices->began_s == 0 ||
	    slices->began_s > now_s || slices->now_s > now_s - slices->began_s) {
		slices_free(slices);
		slices_begin(slices, now_s, &series->histogram, &series->lifetime);
		cell_drop(restoring_store(restoring), &cell);
		return;
	}
	*owner = cell;
}

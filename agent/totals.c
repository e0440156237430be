/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "totals.h"

/* ck_hs asks its user for memory through these. */
static void *hs_malloc(size_t size)
{
	return malloc(size);
}

static void hs_free(void *memory, size_t size, bool defer)
{
	(void)size, (void)defer; /* one thread at a time: nobody else still reads it */
	free(memory);
}

static struct ck_malloc hs_allocator = {.malloc = hs_malloc, .free = hs_free};

static unsigned long entry_hash(const void *key, unsigned long seed)
{
	const struct shmbus_metric_entry *entry = key;
	unsigned long hash = seed ^ entry->kind;

	/* FNV-1a, over the name and the unit. */
	for (const char *c = entry->name; *c != '\0'; c++)
		hash = (hash ^ (unsigned char)*c) * 0x100000001b3ul;
	for (const char *c = entry->unit; *c != '\0'; c++)
		hash = (hash ^ (unsigned char)*c) * 0x100000001b3ul;
	return hash;
}

/* A total begins with its entry, so that one can stand for the other in the hash set. */
static bool entry_same(const void *left, const void *right)
{
	const struct shmbus_metric_entry *a = left, *b = right;

	return a->kind == b->kind && strcmp(a->name, b->name) == 0 && strcmp(a->unit, b->unit) == 0;
}

int totals_init(struct totals *totals, uint32_t capacity, uint32_t window)
{
	memset(totals, 0, sizeof *totals);
	totals->capacity = capacity;
	totals->window = window;
	totals->all = calloc(capacity, sizeof *totals->all);
	if (totals->all == NULL ||
	    !ck_hs_init(&totals->index, CK_HS_MODE_SPMC | CK_HS_MODE_OBJECT, entry_hash, entry_same,
			&hs_allocator, 64, 0xcbf29ce484222325ul)) {
		free(totals->all);
		return -ENOMEM;
	}
	return 0;
}

static void total_free(struct total *total)
{
	series_free(&total->kept);
	series_free(&total->series);
	slices_free(&total->slices);
	free(total);
}

void totals_free(struct totals *totals)
{
	for (uint32_t i = 0; i < totals->count; i++)
		total_free(totals->all[i]);
	free(totals->all);
	ck_hs_destroy(&totals->index);
}

static struct total *total_new(const struct totals *totals, const struct shmbus_metric_entry *entry)
{
	struct total *total = calloc(1, sizeof *total);

	if (total == NULL)
		return NULL;
	total->entry = *entry;
	total->kept.lifetime = LIFETIME_EMPTY;
	if (entry->kind == SHMBUS_TIMER && series_init(&total->series, totals->window) != 0) {
		free(total);
		return NULL;
	}
	return total;
}

struct total *totals_of(struct totals *totals, const struct shmbus_metric_entry *entry)
{
	unsigned long hash = CK_HS_HASH(&totals->index, entry_hash, entry);
	struct total *total = ck_hs_get(&totals->index, hash, entry);

	if (total == NULL) {
		if (totals->count == totals->capacity)
			return NULL;
		total = total_new(totals, entry);
		if (total == NULL)
			return NULL;
		if (!ck_hs_put(&totals->index, hash, total)) {
			total_free(total);
			return NULL;
		}
		total->number = totals->count;
		totals->all[totals->count++] = total;
	}
	total->sessions++;
	total->dirty = true;
	return total;
}

/* ---- gauges ---- */

void totals_gauges_reset(struct totals *totals)
{
	for (uint32_t i = 0; i < totals->count; i++) {
		totals->all[i]->present = 0;
		totals->all[i]->merged = 0;
		memset(totals->all[i]->states, 0, sizeof totals->all[i]->states);
	}
}

static double metric_number(const struct metric *metric)
{
	double real;

	if (!metric->entry.real)
		return (double)(int64_t)metric->bits;
	memcpy(&real, &metric->bits, sizeof real);
	return real;
}

static void gauge_merge(struct total *total, const struct metric *metric)
{
	double value = metric_number(metric);

	if (total->present++ == 0) {
		total->merged = value;
		return;
	}
	switch (total->entry.kind == SHMBUS_UPDOWN ? SHMBUS_MERGE_SUM : total->entry.merge) {
	case SHMBUS_MERGE_MIN:
		total->merged = value < total->merged ? value : total->merged;
		break;
	case SHMBUS_MERGE_MAX:
		total->merged = value > total->merged ? value : total->merged;
		break;
	default: /* the mean is divided by `present` where it is encoded */
		total->merged += value;
	}
}

bool totals_gauges_any(const struct session *session)
{
	for (uint32_t i = 0; i < session->committed.metric_count; i++) {
		enum shmbus_kind kind = session->metrics[i]->entry.kind;

		if (kind == SHMBUS_GAUGE || kind == SHMBUS_UPDOWN || kind == SHMBUS_STATESET)
			return true;
	}
	return false;
}

void totals_gauges_merge(struct totals *totals, const struct session *session)
{
	(void)totals;
	for (uint32_t i = 0; i < session->committed.metric_count; i++) {
		struct metric *metric = session->metrics[i];

		if (metric->total == NULL || !metric->present)
			continue;
		if (metric->entry.kind == SHMBUS_GAUGE || metric->entry.kind == SHMBUS_UPDOWN)
			gauge_merge(metric->total, metric);
		else if (metric->entry.kind == SHMBUS_STATESET && metric->bits < SHMBUS_STATES_MAX)
			metric->total->states[metric->bits]++;
	}
}

/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "top_memory.h"

struct entry {
	uint64_t key;
	uint64_t round; /* the last one that had a row for it */
	double total, samples;
	struct top_trend trend;
	int open; /* -1: as all */
};

/* A hash table that is made anew with each document; at most half full. */
struct table {
	struct entry **entries;
	size_t size; /* a power of two, or 0 */
};

struct top_memory {
	struct table table;
	struct entry bus;
	uint64_t round, time_ns;
	int open;
};

static size_t table_at(const struct table *table, uint64_t key)
{
	size_t at = (size_t)(key ^ key >> 32) & (table->size - 1);

	while (table->entries[at] != NULL && table->entries[at]->key != key)
		at = (at + 1) & (table->size - 1);
	return at;
}

static struct entry *table_find(const struct table *table, uint64_t key)
{
	return table->size == 0 ? NULL : table->entries[table_at(table, key)];
}

struct top_memory *top_memory_new(void)
{
	struct top_memory *memory = calloc(1, sizeof *memory);

	if (memory != NULL)
		memory->open = TOP_TIMERS;
	return memory;
}

void top_memory_free(struct top_memory *memory)
{
	if (memory == NULL)
		return;
	for (size_t i = 0; i < memory->table.size; i++)
		free(memory->table.entries[i]);
	free(memory->table.entries);
	free(memory);
}

/* ---- trends ---- */

/* A document says something of all the time since the one before. */
static void trend_put(struct top_trend *trend, uint64_t second, double value)
{
	uint64_t steps = second > trend->second ? second - trend->second : 0;

	if (second == trend->second) { /* of several documents in a second the worst */
		trend->at[second % TOP_SECONDS] = fmax(trend->at[second % TOP_SECONDS], value);
		return;
	}
	if (steps > TOP_SECONDS)
		steps = TOP_SECONDS;
	for (uint64_t i = 0; i < steps; i++)
		trend->at[(second - i) % TOP_SECONDS] = value;
	trend->second = second; /* where the clock was set back too: it begins anew there */
}

static void trend_clear(struct top_trend *trend, uint64_t second)
{
	trend->second = second;
	for (int i = 0; i < TOP_SECONDS; i++)
		trend->at[i] = NAN;
}

static void entry_take(struct entry *entry, const struct top_row *row, uint64_t second,
		       double seconds)
{
	double more = row->total - entry->total, samples = row->samples - entry->samples;
	double value = NAN;

	if (row->kind == TOP_SESSION && seconds > 0 && more >= 0)
		value = more / seconds;
	else if (row->kind != TOP_SESSION && samples > 0 && more >= 0)
		value = more / samples;
	trend_put(&entry->trend, second, value);
	entry->total = row->total;
	entry->samples = row->samples;
}

static void bus_take(struct top_memory *memory, const struct document *document, uint64_t second,
		     double seconds)
{
	struct top_row row = {
		.kind = TOP_SESSION,
		.total = member_real(member(&document->root, "agent"), "samples_total", NAN)};

	if (memory->round == 1) {
		trend_clear(&memory->bus.trend, second);
		memory->bus.total = NAN;
	}
	entry_take(&memory->bus, &row, second, seconds);
}

static struct entry *entry_new(const struct top_row *row, uint64_t second)
{
	struct entry *entry = calloc(1, sizeof *entry);

	if (entry == NULL)
		return NULL;
	entry->key = row->key;
	entry->total = entry->samples = NAN;
	entry->open = -1;
	trend_clear(&entry->trend, second);
	return entry;
}

void top_memory_take(struct top_memory *memory, const struct document *document,
		     const struct top_rows *rows)
{
	uint64_t now_ns = member_u64(&document->root, "time_unix_ns", 0);
	uint64_t second = now_ns / 1000000000u;
	double seconds = ((double)now_ns - (double)memory->time_ns) / 1e9;
	struct table old = memory->table, table = {.size = 64};

	while (table.size < 2 * (rows->count + 1))
		table.size *= 2;
	table.entries = calloc(table.size, sizeof *table.entries);
	if (table.entries == NULL)
		return;
	memory->round++;
	bus_take(memory, document, second, seconds);
	for (size_t i = 0; i < rows->count; i++) {
		const struct top_row *row = &rows->rows[i];
		size_t at = table_at(&table, row->key);
		struct entry *entry = table_find(&old, row->key);

		if (table.entries[at] != NULL)
			continue;
		if (entry == NULL)
			entry = entry_new(row, second);
		if (entry == NULL)
			continue;
		entry->round = memory->round;
		entry_take(entry, row, second, seconds);
		table.entries[at] = entry;
	}
	for (size_t i = 0; i < old.size; i++)
		if (old.entries[i] != NULL && old.entries[i]->round != memory->round)
			free(old.entries[i]);
	free(old.entries);
	memory->table = table;
	memory->time_ns = now_ns;
}

const struct top_trend *top_memory_trend(const struct top_memory *memory, uint64_t key)
{
	const struct entry *entry = table_find(&memory->table, key);

	return entry == NULL ? NULL : &entry->trend;
}

const struct top_trend *top_memory_bus(const struct top_memory *memory)
{
	return memory->round == 0 ? NULL : &memory->bus.trend;
}

double top_trend_last(const struct top_trend *trend)
{
	return trend == NULL ? NAN : trend->at[trend->second % TOP_SECONDS];
}

void top_trend_text(const struct top_trend *trend, int columns, bool blocks, char *out, size_t size,
		    double *max)
{
	static const char *const full[] = {"\u2581", "\u2582", "\u2583", "\u2584",
					   "\u2585", "\u2586", "\u2587", "\u2588"};
	static const char *const plain[] = {"_", ".", "-", "=", "+", "*", "%", "#"};
	size_t used = 0;

	*max = 0;
	out[0] = '\0';
	if (columns > TOP_SECONDS)
		columns = TOP_SECONDS;
	for (int i = 0; i < columns; i++)
		*max = fmax(*max, trend->at[(trend->second - (uint64_t)i) % TOP_SECONDS]);
	for (int i = columns - 1; i >= 0; i--) {
		double value = trend->at[(trend->second - (uint64_t)i) % TOP_SECONDS];
		int level = *max > 0 ? (int)fmin(7, value / *max * 8) : 0;
		const char *mark = isnan(value) ? " " : blocks ? full[level] : plain[level];

		if (used + strlen(mark) >= size)
			return;
		strcpy(out + used, mark);
		used += strlen(mark);
	}
}

/* ---- what is open ---- */

int top_memory_open(void *data, uint64_t key)
{
	const struct top_memory *memory = data;
	const struct entry *entry = table_find(&memory->table, key);

	return entry == NULL || entry->open < 0 ? memory->open : entry->open;
}

void top_memory_open_set(struct top_memory *memory, uint64_t key, int open)
{
	struct entry *entry = table_find(&memory->table, key);

	if (entry != NULL)
		entry->open = open;
}

void top_memory_open_all(struct top_memory *memory, int open)
{
	memory->open = open;
	for (size_t i = 0; i < memory->table.size; i++)
		if (memory->table.entries[i] != NULL)
			memory->table.entries[i]->open = -1;
}

/* ---- latencies ---- */

void top_heat_take(struct top_heat *heat, uint64_t key, const struct document *document,
		   const msgpack_object *metric, const msgpack_object *before)
{
	uint64_t slice = member_u64(&document->root, "time_unix_ns", 0) / 10000000000u;
	int row = (int)(slice % TOP_HEAT_ROWS);

	if (key != heat->key) {
		memset(heat, 0, sizeof *heat);
		heat->key = key;
	}
	member_text(metric, "name", heat->name, sizeof heat->name);
	member_text(metric, "unit", heat->unit, sizeof heat->unit);
	memset(heat->ever, 0, sizeof heat->ever);
	heat->known = top_bins_add(heat->ever, metric, NULL);
	if (heat->slice[row] != slice) {
		memset(heat->rows[row], 0, sizeof heat->rows[row]);
		heat->slice[row] = slice;
	}
	if (heat->known && before != NULL)
		top_bins_add(heat->rows[row], metric, before);
}

bool top_heat_range(const struct top_heat *heat, int *first, int *last)
{
	*first = TOP_BINS;
	*last = -1;
	for (int i = 0; heat->known && i < TOP_BINS; i++) {
		if (heat->ever[i] <= 0)
			continue;
		if (*first == TOP_BINS)
			*first = i;
		*last = i;
	}
	return *last >= 0;
}

void top_heat_levels(const double bins[TOP_BINS], int first, int last, int levels, int columns,
		     uint8_t *out)
{
	double max = 0, sums[1024];
	int count = last - first + 1;

	if (columns > 1024)
		columns = 1024;
	for (int i = 0; i < columns; i++) {
		int from = first + i * count / columns, to = first + (i + 1) * count / columns;

		sums[i] = 0;
		for (int b = from; b < to || b == from; b++)
			sums[i] += bins[b];
		max = fmax(max, sums[i]);
	}
	/* By logarithm: the few slow ones are what one looks for. */
	for (int i = 0; i < columns; i++)
		out[i] = sums[i] <= 0
				 ? 0
				 : (uint8_t)(1 + (levels - 1) * log(1 + sums[i]) / log(1 + max));
}

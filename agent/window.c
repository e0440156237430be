/* SPDX-License-Identifier: MIT */
#include "window.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct window *window_new(uint32_t size, bool wide)
{
	size_t bytes = size * (wide ? sizeof(uint64_t) : sizeof(uint32_t));
	struct window *w;

	assert(size >= 1 && size <= WINDOW_SIZE_MAX);
	w = malloc(sizeof *w + bytes);
	if (w != NULL)
		*w = (struct window){
			.size = size,
			.wide = wide,
		};
	return w;
}

void window_free(struct window *w)
{
	free(w);
}

struct window *window_widened(const struct window *w)
{
	struct window *wide = window_new(w->size, true);
	uint32_t count = window_count(w);

	if (wide == NULL)
		return NULL;
	wide->next = w->next;
	wide->folded = w->folded;
	for (uint32_t i = 0; i < count; i++)
		wide->values[i] = window_value(w, i);
	return wide;
}

/* Copies samples that lie in a row, both windows being of one width. */
static void row_copy(struct window *into, uint32_t at, const struct window *from, uint32_t from_at,
		     uint32_t count)
{
	if (window_wide(into))
		memcpy(into->values + at, from->values + from_at, count * sizeof into->values[0]);
	else
		memcpy(window_narrow(into) + at, window_narrow(from) + from_at,
		       count * sizeof(uint32_t));
}

void window_copy(struct window *into, const struct window *from)
{
	uint64_t fresh = from->folded - into->folded;

	assert(into->size == from->size && into->wide == from->wide &&
	       into->folded <= from->folded);
	if (fresh >= from->size) {
		row_copy(into, 0, from, 0, from->size);
	} else if (into->next + fresh <= from->size) {
		row_copy(into, into->next, from, into->next, (uint32_t)fresh);
	} else {
		row_copy(into, into->next, from, into->next, from->size - into->next);
		row_copy(into, 0, from, 0, from->next);
	}
	into->next = from->next;
	into->folded = from->folded;
}

void window_append_tail(struct window *into, const struct window *from, uint64_t from_folded_before)
{
	uint64_t fresh = from->folded - from_folded_before;
	uint32_t count = fresh < from->size ? (uint32_t)fresh : from->size;
	uint32_t skip = count > into->size ? count - into->size : 0;
	uint32_t at;

	assert(into != from && from_folded_before <= from->folded && into->wide >= from->wide);

	/* The skipped ones would be overwritten in this very call. */
	into->folded += skip;
	count -= skip;
	at = count <= from->next ? from->next - count : from->size - (count - from->next);
	for (; count > 0; count--) {
		window_fold(into, window_value(from, at));
		at = at + 1 == from->size ? 0 : at + 1;
	}
}

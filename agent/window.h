/* SPDX-License-Identifier: MIT */
/*
 * window.h - the last N samples, and exact statistics of them.
 *
 * Folding a sample in is one store. Statistics are computed only when they are asked for, from
 * the samples themselves: mean and deviation from exact integer sums, quantiles by selecting
 * the few samples they depend on. So they are what numpy gives for the same values.
 *
 * Samples take four bytes each, enough for 4.29 s in ns, as long as all of them fit; the first one
 * that does not fit takes another window, which window_widened() makes, of eight bytes each.
 *
 * A struct window has one owner thread; nothing here is atomic. To read it elsewhere, keep a
 * second window and bring it up to date with window_copy().
 */
#ifndef SHMBUS_AGENT_WINDOW_H
#define SHMBUS_AGENT_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WINDOW_SIZE_MAX 65536u
#define WINDOW_QUANTILES 3

struct window {
	uint32_t size : 31; /* samples that it holds */
	uint32_t wide : 1;  /* samples of 64 bits */
	uint32_t next;      /* where the next sample goes */
	uint64_t folded;    /* samples ever folded in */
	uint64_t values[];  /* or, in a narrow one, uint32_t: window_narrow() */
};

_Static_assert(sizeof(struct window) == 16, "what a fold needs of a window is in one cache line");

/* An empty window of 1 to WINDOW_SIZE_MAX samples; NULL without memory. window_free(NULL) does
 * nothing. */
struct window *window_new(uint32_t size, bool wide);
void window_free(struct window *w);

/* A wide one with the same samples; NULL without memory. */
struct window *window_widened(const struct window *w);

static inline bool window_wide(const struct window *w)
{
	return w->wide;
}

/* The samples of a narrow one. */
static inline uint32_t *window_narrow(const struct window *w)
{
	return (uint32_t *)(uintptr_t)w->values;
}

/* Bytes that a window takes. */
static inline uint64_t window_bytes(const struct window *w)
{
	return sizeof *w +
	       w->size * (uint64_t)(window_wide(w) ? sizeof(uint64_t) : sizeof(uint32_t));
}

/* Whether a sample fits, as each one has to that is folded in. */
static inline bool window_fits(const struct window *w, uint64_t value)
{
	return value <= UINT32_MAX || w->wide;
}

static inline void window_fold(struct window *w, uint64_t value)
{
	uint32_t next = w->next;

	if (__builtin_expect(window_wide(w), 0))
		w->values[next++] = value;
	else
		window_narrow(w)[next++] = (uint32_t)value;
	w->next = next == w->size ? 0 : next;
	w->folded++;
}

/* A sample by its place, which says nothing of when it came. */
static inline uint64_t window_value(const struct window *w, uint32_t i)
{
	return window_wide(w) ? w->values[i] : window_narrow(w)[i];
}

/* Where the next sample goes. */
static inline const void *window_next(const struct window *w)
{
	return window_wide(w) ? (const void *)&w->values[w->next] : &window_narrow(w)[w->next];
}

/* Samples that are in the window now. */
static inline uint32_t window_count(const struct window *w)
{
	return w->folded < w->size ? (uint32_t)w->folded : w->size;
}

/* Makes `into` equal to `from`. They have one size and one width, and `into` is only ever written
 * by this function, always with the same `from`, or made by window_widened() since: only what is
 * new since the last call is copied. */
void window_copy(struct window *into, const struct window *from);

/*
 * Folds into `into` the samples of `from` that came after the first `from_folded_before` ones
 * (an earlier value of from->folded), oldest first; of those, the ones that `from` still has.
 * Sizes may differ; widths too, as long as `into` is not the narrower one.
 */
void window_append_tail(struct window *into, const struct window *from,
			uint64_t from_folded_before);

/* Working memory of window_summarise(), for windows of up to size_max samples. It is large and
 * carries nothing from call to call: one for each thread that summarises is enough. */
struct window_scratch;
struct window_scratch *window_scratch_new(uint32_t size_max);
void window_scratch_free(struct window_scratch *scratch);

struct window_summary {
	uint32_t count; /* if 0, the other fields mean nothing */
	uint64_t min;
	uint64_t max;
	uint64_t last; /* the newest sample */
	double mean;
	double std; /* of the population: numpy's ddof = 0 */
	double p50; /* quantiles by linear interpolation: numpy's default method */
	double p95;
	double p99;
};

/*
 * Where the quantiles were, which makes it quicker to find them again: one for each window that is
 * summarised time after time, all zeros at first. What is in it never changes a result.
 */
struct window_near {
	uint32_t low[WINDOW_QUANTILES]; /* an interval for each, its ends included */
	uint32_t high[WINDOW_QUANTILES];
	uint64_t folded; /* of the window then; 0: nothing is known */
};

void window_summarise(const struct window *w, struct window_near *near,
		      struct window_scratch *scratch, struct window_summary *summary);

#endif /* SHMBUS_AGENT_WINDOW_H */

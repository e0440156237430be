/* SPDX-License-Identifier: MIT */
/* A reader's histogram against the agent's, and the rows that it is drawn in. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "buckets.h"
#include "hgrm.h"
#include "hist_draw.h"
#include "histogram.h"

/* A timer as the agent encodes it, of samples that it folded. */
struct timer {
	struct histogram agent;
	uint64_t min, max, count;
	struct buckets buckets;
};

static void timer_add(struct timer *timer, uint64_t value)
{
	cr_assert(histogram_fold(&timer->agent, value));
	timer->min = timer->count == 0 || value < timer->min ? value : timer->min;
	timer->max = timer->count == 0 || value > timer->max ? value : timer->max;
	timer->count++;
}

static void pack_key(msgpack_packer *packer, const char *key)
{
	msgpack_pack_str_with_body(packer, key, strlen(key));
}

static void pack_number(msgpack_packer *packer, const char *key, uint64_t value)
{
	pack_key(packer, key);
	msgpack_pack_uint64(packer, value);
}

static int load(struct timer *timer)
{
	struct document document;
	msgpack_sbuffer buffer;
	msgpack_packer packer;
	uint32_t first = 0, length = 0;
	int error;

	histogram_trim_range(&timer->agent, &first, &length);
	msgpack_sbuffer_init(&buffer);
	msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
	msgpack_pack_map(&packer, 3);
	pack_number(&packer, "min", timer->min);
	pack_number(&packer, "max", timer->max);
	pack_key(&packer, "histogram");
	msgpack_pack_map(&packer, 4);
	pack_number(&packer, "schema", 5);
	pack_number(&packer, "zero_count", timer->agent.zero_count);
	pack_number(&packer, "offset", first);
	pack_key(&packer, "buckets");
	msgpack_pack_array(&packer, length);
	for (uint32_t i = 0; i < length; i++)
		msgpack_pack_uint64(&packer, timer->agent.buckets[first - timer->agent.first + i]);
	cr_assert_eq(document_decode(&document, (const uint8_t *)buffer.data, buffer.size), 0);
	error = buckets_load(&timer->buckets, &document.root);
	document_free(&document);
	msgpack_sbuffer_destroy(&buffer);
	return error;
}

static void timer_free(struct timer *timer)
{
	histogram_free(&timer->agent);
	buckets_free(&timer->buckets);
}

/* Numbers of every size: 0 to 63 bits. */
static uint64_t any_number(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (*state >> 11) >> (*state >> 5 & 63) % 53;
}

static void near(double found, double wanted, const char *what, double at)
{
	cr_assert(fabs(found - wanted) <= 1e-12 * fabs(wanted), "%s %g: %.17g, not %.17g", what, at,
		  found, wanted);
}

Test(buckets, quantiles_are_the_agents)
{
	for (uint64_t round = 1; round <= 40; round++) {
		struct timer timer = {0};
		uint64_t state = round;

		for (uint64_t i = 0; i < round * round; i++)
			timer_add(&timer, any_number(&state));
		cr_assert_eq(load(&timer), 0);
		cr_assert_eq(timer.buckets.total, timer.count);
		for (int i = 0; i <= 64; i++) {
			double q = i / 64.0;

			near(buckets_quantile(&timer.buckets, q),
			     histogram_quantile(&timer.agent, timer.min, timer.max, q), "quantile",
			     q);
		}
		timer_free(&timer);
	}
}

Test(buckets, bounds_are_the_agents)
{
	struct buckets buckets = {.schema = 5};

	for (int32_t i = 0; i <= 2048; i++) {
		near(buckets_bound(&buckets, i), histogram_bound(i), "bound", i);
		near(buckets_middle(&buckets, i), histogram_middle((uint32_t)i), "middle", i);
	}
}

Test(buckets, nothing_and_nonsense)
{
	struct timer timer = {0};

	cr_assert_eq(load(&timer), -ENODATA);
	timer_add(&timer, 5);
	timer.min = 6;
	cr_assert_eq(load(&timer), -EBADMSG);
	histogram_free(&timer.agent);
}

Test(buckets, up_to)
{
	struct timer timer = {0};

	for (uint64_t value = 0; value < 10; value++)
		timer_add(&timer, value);
	cr_assert_eq(load(&timer), 0);
	for (uint64_t rank = 1; rank <= 10; rank++)
		cr_assert_eq(buckets_up_to(&timer.buckets, rank), rank);
	timer_free(&timer);
}

/* Every sample is in one row, whatever the axis: rows ascend and hold them all. */
Test(bins, hold_all)
{
	for (uint64_t round = 1; round <= 60; round++) {
		struct timer timer = {0};
		uint64_t state = round, counts[BINS_MAX], sum;
		int rows = (int)(2 + round % 30);
		struct bins bins;

		for (uint64_t i = 0; i < round; i++)
			timer_add(&timer, round % 3 == 0 ? 1000 + any_number(&state) % 7
							 : any_number(&state));
		cr_assert_eq(load(&timer), 0);
		for (int log = 0; log < 2; log++) {
			bins_make(&bins, &timer.buckets, NULL, rows, log != 0);
			cr_assert(bins.count >= 1 && bins.count <= (size_t)rows + 4, "%zu of %d",
				  bins.count, rows);
			for (size_t i = 0; i < bins.count; i++)
				cr_assert_lt(bins.edges[i], bins.edges[i + 1]);
			cr_assert_leq(bins.edges[0], (double)timer.min);
			cr_assert_geq(bins.edges[bins.count] * (1 + 1e-12), (double)timer.max);
			bins_fill(&bins, &timer.buckets, counts);
			sum = 0;
			for (size_t i = 0; i < bins.count; i++)
				sum += counts[i];
			cr_assert_eq(sum, timer.count);
		}
		timer_free(&timer);
	}
}

Test(bins, linear_edges_are_round)
{
	struct timer timer = {0};
	uint64_t counts[BINS_MAX];
	struct bins bins;

	for (uint64_t i = 1; i <= 1000; i++)
		timer_add(&timer, i);
	cr_assert_eq(load(&timer), 0);
	bins_make(&bins, &timer.buckets, NULL, 10, false);
	cr_assert_eq(bins.count, 10);
	for (size_t i = 0; i <= 10; i++)
		cr_assert_eq(bins.edges[i], (double)i * 100);
	/* A bucket that lies across an edge goes to one side: 1.1 % of 900 at most. */
	bins_fill(&bins, &timer.buckets, counts);
	for (size_t i = 0; i < 10; i++)
		cr_assert(counts[i] >= 80 && counts[i] <= 120, "%zu: %u", i, (unsigned)counts[i]);
	timer_free(&timer);
}

/* One far sample does not press all others into one row. */
Test(bins, linear_axis_ends_where_most_do)
{
	struct timer timer = {0};
	uint64_t counts[BINS_MAX];
	struct bins bins;

	for (uint64_t i = 0; i < 2000; i++)
		timer_add(&timer, 1 + i % 100);
	timer_add(&timer, 1000000000);
	cr_assert_eq(load(&timer), 0);
	bins_make(&bins, &timer.buckets, NULL, 10, false);
	bins_fill(&bins, &timer.buckets, counts);
	cr_assert(bins.more);
	cr_assert_eq(bins.edges[bins.count], 1e9);
	cr_assert_eq(counts[bins.count - 1], 1);
	cr_assert_leq(bins.edges[bins.count - 1], 200);
	timer_free(&timer);
}

Test(bins, log_rows_are_whole_buckets)
{
	struct timer timer = {0};
	uint64_t counts[BINS_MAX];
	struct bins bins;

	timer_add(&timer, 0);
	for (uint64_t i = 1; i <= 1024; i++)
		timer_add(&timer, i);
	cr_assert_eq(load(&timer), 0);
	bins_make(&bins, &timer.buckets, NULL, 11, true);
	bins_fill(&bins, &timer.buckets, counts);
	cr_assert_eq(counts[0], 1, "the zero has a row of its own");
	cr_assert_eq(bins.count, 12);
	for (size_t i = 2; i < bins.count; i++) {
		cr_assert_eq(bins.edges[i + 1], 2 * bins.edges[i]);
		cr_assert_eq(counts[i], (uint64_t)bins.edges[i + 1] / 2, "row %zu", i);
	}
	timer_free(&timer);
}

Test(bar, lengths)
{
	char out[64];

	cr_assert_str_eq(bar_make(out, 0, 10, true), "");
	cr_assert_str_eq(bar_make(out, 1, 4, true), "####");
	cr_assert_str_eq(bar_make(out, 0.5, 4, true), "##");
	cr_assert_str_eq(bar_make(out, 1e-9, 4, true), "#");
	cr_assert_str_eq(bar_make(out, 1, 2, false), "\u2588\u2588");
	cr_assert_str_eq(bar_make(out, 0.75, 2, false), "\u2588\u258c");
	cr_assert_str_eq(bar_make(out, 1e-9, 2, false), "\u258f");
}

Test(hgrm, whole)
{
	static const char wanted[] = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n"
				     "       1.000 0.000000000000          1           1.00\n"
				     "       1.100 0.100000000000          1           1.11\n"
				     "       1.200 0.200000000000          1           1.25\n"
				     "       1.300 0.300000000000          1           1.43\n"
				     "       1.400 0.400000000000          1           1.67\n"
				     "       1.500 0.500000000000          1           2.00\n"
				     "       1.550 0.550000000000          2           2.22\n"
				     "       1.600 0.600000000000          2           2.50\n"
				     "       1.650 0.650000000000          2           2.86\n"
				     "       1.700 0.700000000000          2           3.33\n"
				     "       2.000 1.000000000000          2\n"
				     "#[Mean    =        1.500, StdDeviation   =        0.500]\n"
				     "#[Max     =        2.000, Total count    =            2]\n"
				     "#[Buckets =            2, SubBuckets     =           32]\n";
	struct timer timer = {0};
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	timer_add(&timer, 1);
	timer_add(&timer, 2);
	cr_assert_eq(load(&timer), 0);
	hgrm_print(out, &timer.buckets, 1.5, 0.5);
	fclose(out);
	cr_assert_str_eq(text, wanted, "%s", text);
	free(text);
	timer_free(&timer);
}

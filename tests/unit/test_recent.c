/* SPDX-License-Identifier: MIT */
/* test_recent.c - the last finished sessions that outlive the agent. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "put.h"
#include "recent.h"

#define TOTALS 3

static void totals_fill(struct totals *totals)
{
	struct shmbus_metric_entry entry = {.kind = SHMBUS_TIMER};

	cr_assert_eq(totals_init(totals, TOTALS, 10), 0);
	for (uint32_t i = 0; i < TOTALS; i++) {
		entry.name[0] = (char)('a' + i);
		cr_assert_not_null(totals_of(totals, &entry));
	}
}

static void session_add(struct recent *recent, uint32_t timers)
{
	uint64_t n = recent->finished;
	struct recent_session *session = &recent->sessions[recent->finished++ % RECENT_SESSIONS];

	free(session->timers);
	*session = (struct recent_session){
		.lost = n % 3 == 0,
		.duration_ns = 1000 + n,
		.timer_count = timers,
		.timers = calloc(timers + 1u, sizeof *session->timers),
	};
	cr_assert_not_null(session->timers);
	for (uint32_t i = 0; i < timers; i++)
		session->timers[i] = (struct recent_timer){
			.total = i % TOTALS,
			.count = n + i + 1,
			.max = 100 * n + i,
			.mean = 0.5 + (double)n,
			.p50 = 1.5 + (double)n,
			.p95 = 2.5 + (double)n,
			.p99 = 3.5 + (double)n,
			.judged = i % 2,
			.met = i % 4 == 1,
		};
}

static struct recent *recent_new(uint32_t sessions)
{
	struct recent *recent = calloc(1, sizeof *recent);

	cr_assert_not_null(recent);
	for (uint32_t i = 0; i < sessions; i++)
		session_add(recent, i % 7);
	return recent;
}

static void recent_end(struct recent *recent)
{
	recent_free(recent);
	free(recent);
}

static uint8_t *bytes_of(const struct recent *recent, size_t *size)
{
	uint8_t *bytes;

	*size = recent_saved_size(recent);
	bytes = malloc(*size);
	cr_assert_not_null(bytes);
	recent_save(recent, bytes);
	return bytes;
}

/* They are the same where readers see them. */
static void expect_same(const struct recent *is, const struct recent *should,
			const struct totals *totals)
{
	struct put_buffer encoded[2] = {0};

	cr_assert_eq(is->finished, should->finished);
	for (int i = 0; i < 2; i++) {
		msgpack_packer packer;

		msgpack_packer_init(&packer, &encoded[i], put_buffer_write);
		recent_encode(&packer, i == 0 ? is : should, totals);
	}
	cr_assert_eq(encoded[0].bytes.size, encoded[1].bytes.size);
	cr_assert_arr_eq(encoded[0].bytes.data, encoded[1].bytes.data, encoded[1].bytes.size);
	for (int i = 0; i < 2; i++)
		msgpack_sbuffer_destroy(&encoded[i].bytes);
}

/* Before the hundredth, with it, and when the oldest have given way; and as more come. */
Test(recent, saved_and_loaded)
{
	static const uint32_t counts[] = {0, 1, 2, 50, 99, 100, 101, 150, 200, 333};
	struct totals totals;

	totals_fill(&totals);
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		struct recent *recent = recent_new(counts[i]);
		struct recent *loaded = calloc(1, sizeof *loaded);
		size_t size;
		uint8_t *bytes = bytes_of(recent, &size);

		cr_assert_not_null(loaded);
		cr_assert_eq(recent_load(loaded, bytes, size, &totals), 0);
		expect_same(loaded, recent, &totals);
		for (uint32_t k = 0; k < 120; k++) {
			session_add(recent, k % 5);
			session_add(loaded, k % 5);
			expect_same(loaded, recent, &totals);
		}
		free(bytes);
		recent_end(recent);
		recent_end(loaded);
	}
	totals_free(&totals);
}

static void encode(const struct recent *recent, const struct totals *totals)
{
	struct put_buffer encoded = {0};
	msgpack_packer packer;

	msgpack_packer_init(&packer, &encoded, put_buffer_write);
	recent_encode(&packer, recent, totals);
	msgpack_sbuffer_destroy(&encoded.bytes);
	for (uint32_t i = 0; i < RECENT_SESSIONS; i++)
		for (uint32_t k = 0; k < recent->sessions[i].timer_count; k++)
			cr_assert(isfinite(recent->sessions[i].timers[k].mean) &&
				  isfinite(recent->sessions[i].timers[k].p99));
}

/* True where it was loaded; what is refused leaves nothing. */
static bool attempt(const uint8_t *bytes, size_t size, const struct totals *totals)
{
	static const struct recent nothing;
	struct recent *recent = calloc(1, sizeof *recent);
	bool loaded;

	cr_assert_not_null(recent);
	loaded = recent_load(recent, bytes, size, totals) == 0;
	if (loaded)
		encode(recent, totals);
	else
		cr_assert_eq(
			memcmp((const uint8_t *)recent, (const uint8_t *)&nothing, sizeof nothing),
			0);
	recent_end(recent);
	return loaded;
}

Test(recent, truncated)
{
	struct recent *recent = recent_new(20);
	struct totals totals;
	size_t size;
	uint8_t *bytes = bytes_of(recent, &size);

	totals_fill(&totals);
	cr_assert(attempt(bytes, size, &totals));
	for (size_t length = 0; length < size; length++) {
		uint8_t *cut = malloc(length + 1); /* so that a byte beyond is seen */

		cr_assert_not_null(cut);
		memcpy(cut + 1, bytes, length);
		cr_assert_not(attempt(cut + 1, length, &totals), "%zu of %zu bytes", length, size);
		free(cut);
	}
	free(bytes);
	recent_end(recent);
	totals_free(&totals);
}

Test(recent, damaged)
{
	static const uint8_t flips[] = {0x01, 0x02, 0x70, 0x80, 0xff};
	struct recent *recent = recent_new(20);
	struct totals totals;
	uint32_t loaded = 0;
	size_t size;
	uint8_t *bytes = bytes_of(recent, &size);

	totals_fill(&totals);
	for (size_t i = 0; i < size; i++) {
		for (size_t k = 0; k < sizeof flips; k++) {
			bytes[i] ^= flips[k];
			loaded += attempt(bytes, size, &totals);
			bytes[i] ^= flips[k];
		}
	}
	cr_assert_gt(loaded, 0);
	cr_assert_lt(loaded, 5 * size);
	memset(bytes, 0xff, size);
	cr_assert_not(attempt(bytes, size, &totals));
	free(bytes);
	recent_end(recent);
	totals_free(&totals);
}

/* Timers of totals that are not there any more: what they were merged into is not known. */
Test(recent, other_totals)
{
	struct recent *recent = recent_new(5);
	struct totals totals;
	size_t size;
	uint8_t *bytes = bytes_of(recent, &size);

	cr_assert_eq(totals_init(&totals, 1, 10), 0);
	cr_assert_not(attempt(bytes, size, &totals));
	free(bytes);
	recent_end(recent);
	totals_free(&totals);
}

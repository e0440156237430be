/* SPDX-License-Identifier: MIT */
/* windows.h - for the unit tests of time windows: two statistics of one window are the same. */
#ifndef SHMBUS_TESTS_WINDOWS_H
#define SHMBUS_TESTS_WINDOWS_H

#include <criterion/criterion.h>

#include "slices.h"

static inline void expect_summary(const struct slices_summary *is,
				  const struct slices_summary *should, enum slices_window window,
				  uint32_t second)
{
	cr_assert_eq(is->count, should->count, "window %d, second %u: %lu is not %lu", (int)window,
		     second, (unsigned long)is->count, (unsigned long)should->count);
	cr_assert(is->sum == should->sum);
	cr_assert_eq(is->span_ns, should->span_ns);
	cr_assert_eq(is->rate, should->rate);
	cr_assert_eq(is->mean, should->mean);
	cr_assert_eq(is->max, should->max);
	cr_assert_eq(is->has_quantiles, should->has_quantiles);
	cr_assert_eq(is->p50, should->p50, "window %d, second %u: %g is not %g", (int)window,
		     second, is->p50, should->p50);
	cr_assert_eq(is->p95, should->p95);
	cr_assert_eq(is->p99, should->p99);
}

#endif /* SHMBUS_TESTS_WINDOWS_H */

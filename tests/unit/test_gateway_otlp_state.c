/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "otlp_state.h"

Test(otlp_state, retryable)
{
	static const unsigned int again[] = {429, 502, 503, 504}, never[] = {400, 401, 404, 500};

	cr_expect(otlp_retryable(false, 0));
	for (size_t i = 0; i < 4; i++) {
		cr_expect(otlp_retryable(true, again[i]), "%u", again[i]);
		cr_expect_not(otlp_retryable(true, never[i]), "%u", never[i]);
	}
}

Test(otlp_state, backoff)
{
	const uint64_t second = 1000000000u;

	cr_expect_eq(otlp_backoff_ns(10 * second, 1, 0, 0), second);
	cr_expect_eq(otlp_backoff_ns(second / 10, 1, 0, 0), second / 10);
	cr_expect_eq(otlp_backoff_ns(10 * second, 4, 0, 0), 8 * second);
	cr_expect_eq(otlp_backoff_ns(10 * second, 4, 0.5, 0), 6 * second);
	cr_expect_eq(otlp_backoff_ns(10 * second, 7, 0, 0), OTLP_BACKOFF_NS_MAX);
	cr_expect_eq(otlp_backoff_ns(10 * second, UINT32_MAX, 0, 0), OTLP_BACKOFF_NS_MAX);
	cr_expect_eq(otlp_backoff_ns(10 * second, 1, 0.9, 30), 30 * second);
	cr_expect_eq(otlp_backoff_ns(10 * second, 9, 0, 1), OTLP_BACKOFF_NS_MAX);
	cr_expect_eq(otlp_backoff_ns(10 * second, 1, 0, 1e18), OTLP_RETRY_AFTER_NS_MAX);
}

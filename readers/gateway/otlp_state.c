/* SPDX-License-Identifier: MIT */
#include "otlp_state.h"

#define FIRST_NS_MAX UINT64_C(1000000000)

bool otlp_retryable(bool reached, unsigned int status)
{
	return !reached || status == 429 || status == 502 || status == 503 || status == 504;
}

uint64_t otlp_backoff_ns(uint64_t interval_ns, uint32_t failures_row, double chance,
			 double retry_after_s)
{
	uint64_t wait_ns = interval_ns < FIRST_NS_MAX ? interval_ns : FIRST_NS_MAX;
	double asked_ns = retry_after_s * 1e9;

	for (uint32_t i = 1; i < failures_row && wait_ns < OTLP_BACKOFF_NS_MAX; i++)
		wait_ns *= 2;
	if (wait_ns > OTLP_BACKOFF_NS_MAX)
		wait_ns = OTLP_BACKOFF_NS_MAX;
	wait_ns -= (uint64_t)((double)wait_ns * 0.5 * chance);
	if (!(asked_ns > (double)wait_ns))
		return wait_ns;
	return asked_ns < (double)OTLP_RETRY_AFTER_NS_MAX ? (uint64_t)asked_ns
							  : OTLP_RETRY_AFTER_NS_MAX;
}

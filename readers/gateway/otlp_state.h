/* SPDX-License-Identifier: MIT */
/* otlp_state.h - when a push is due, and when it is tried again. No network, no clock. */
#ifndef SHMBUS_GATEWAY_OTLP_STATE_H
#define SHMBUS_GATEWAY_OTLP_STATE_H

#include <stdbool.h>
#include <stdint.h>

#define OTLP_BACKOFF_NS_MAX UINT64_C(60000000000)
#define OTLP_RETRY_AFTER_NS_MAX UINT64_C(3600000000000) /* who asks for more gets that */

/* By the OTLP/HTTP specification: it may be sent again after no answer, and these. */
bool otlp_retryable(bool reached, unsigned int status);

/*
 * How long to wait after so many failures in a row (from 1): the interval, or a second where that
 * is longer, doubled each time up to a minute, of which chance (0 to 1) takes up to a half; never
 * less than what the answer asked for.
 */
uint64_t otlp_backoff_ns(uint64_t interval_ns, uint32_t failures_row, double chance,
			 double retry_after_s);

#endif /* SHMBUS_GATEWAY_OTLP_STATE_H */

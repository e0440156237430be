/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "live_session.h"
#include "script.h"

void live_session_open(struct live_session *live, const char *bus, uint64_t key)
{
	struct shmbus_label label = {"attempt_id", "17"};
	struct shmbus_session_options options = {.bus = bus,
						 .service = "seed",
						 .id = "one",
						 .metrics_max = 4,
						 .labels = &label,
						 .label_count = 1};
	struct shmbus_writer_options ring = {.capacity = SHMBUS_RING_MIN};
	struct shmbus_metric_options timer = {
		.name = "work", .kind = SHMBUS_TIMER, .target = 500, .period_ns = 900};
	struct shmbus_metric_options counter = {.name = "hits", .kind = SHMBUS_COUNTER};
	struct shmbus_derived_options rate = {.name = "rate",
					      .rule = SHMBUS_DERIVE_RATIO,
					      .numerator = &live->timer,
					      .numerator_count = 1,
					      .denominator = &live->counter,
					      .denominator_count = 1};
	char from[96], to[96];

	promise(shmbus_session_open(&options, &live->session) == 0);
	promise(shmbus_writer_open(live->session, &ring, &live->writer) == 0);
	promise(shmbus_metric_define(live->session, &timer, &live->timer) == 0);
	promise(shmbus_metric_define(live->session, &counter, &live->counter) == 0);
	promise(shmbus_derived_define(live->session, &rate) == 0);
	snprintf(live->segment, sizeof live->segment, "/shmbus.%s.s.%016llx", bus,
		 (unsigned long long)key);
	snprintf(from, sizeof from, "/dev/shm%s", shmbus_session_segment(live->session));
	snprintf(to, sizeof to, "/dev/shm%s", live->segment);
	promise(rename(from, to) == 0);
}

void live_session_record(struct live_session *live, uint64_t samples)
{
	for (uint64_t i = 0; i < samples; i++) {
		shmbus_record_value(live->writer, live->timer, 300 * (i % 3));
		shmbus_add(live->writer, live->counter, 1);
	}
}

void live_session_close(struct live_session *live)
{
	shmbus_session_close(live->session);
}

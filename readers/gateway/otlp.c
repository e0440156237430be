/* SPDX-License-Identifier: MIT */
/*
 * otlp.c - pushes the newest snapshot each interval. All that is pushed is cumulative, so a newer
 * payload says all that an older one did: one is under way at most, and what waits is not a
 * payload but the newest snapshot, which the feed has anyway. A push that failed is tried again
 * with what is newest then.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch.h"
#include "gateway.h"
#include "otlp.h"
#include "otlp_encode.h"
#include "otlp_state.h"
#include "times.h"

#define TIMEOUT_NS 10000000000u

struct otlp {
	struct gateway *gateway;
	sd_event_source *timer; /* each interval */
	sd_event_source *again; /* after a failure; on while it is waited for */
	struct fetch *fetch;    /* NULL: none under way */
	struct otlp_epoch epoch;
	char host[256];
	bool waiting;          /* an interval has passed, and its push has not begun */
	bool backing_off;      /* `again` will come */
	uint64_t sent_version; /* of the feed */

	uint64_t pushes, failures, dropped;
	uint32_t failures_row;
	uint64_t last_success_unix_ns;
	size_t payload_bytes; /* of the last one */
	char last_error[192];
};

/* ---- a push ---- */

static void push(struct otlp *otlp);

static void failed(struct otlp *otlp, const struct fetch_result *result)
{
	uint64_t wait_ns;

	otlp->failures++;
	otlp->failures_row++;
	if (result->reached)
		snprintf(otlp->last_error, sizeof otlp->last_error, "HTTP status %u",
			 result->status);
	else
		snprintf(otlp->last_error, sizeof otlp->last_error, "%s", result->error);
	if (otlp->failures_row == 1)
		fprintf(stderr, "shmbus-gateway: --otlp: %s\n", otlp->last_error);
	if (!otlp_retryable(result->reached, result->status)) {
		otlp->dropped++; /* it would be refused again; the next interval has another */
		return;
	}
	wait_ns = otlp_backoff_ns(otlp->gateway->options->otlp_interval_ns, otlp->failures_row,
				  chance(), result->retry_after_s);
	/* Its numbers are in the one that is sent in its place. */
	otlp->dropped += otlp->waiting;
	otlp->waiting = true;
	otlp->backing_off = true;
	sd_event_source_set_time_relative(otlp->again, wait_ns / 1000);
	sd_event_source_set_enabled(otlp->again, SD_EVENT_ONESHOT);
}

static void on_result(const struct fetch_result *result, void *data)
{
	struct otlp *otlp = data;

	otlp->fetch = NULL;
	if (!result->reached || result->status < 200 || result->status > 299) {
		failed(otlp, result);
		return;
	}
	if (otlp->failures_row != 0)
		fprintf(stderr, "shmbus-gateway: --otlp: works again\n");
	otlp->failures_row = 0;
	otlp->pushes++;
	otlp->last_success_unix_ns = unix_time_ns();
	if (otlp->waiting)
		push(otlp);
}

static void push(struct otlp *otlp)
{
	const struct feed *feed = otlp->gateway->feed;
	struct otlp_source source = {
		.document = feed_document(feed),
		.bus = feed_bus(feed),
		.host = otlp->host,
		.start_unix_ns = otlp->epoch.start_unix_ns,
	};
	struct body body = BODY_EMPTY;
	struct fetch_request request = {
		.url = otlp->gateway->options->otlp_url,
		.timeout_ns = TIMEOUT_NS,
		.content_type = "application/json",
		.post = &body,
		.call = on_result,
		.data = otlp,
	};
	int error;

	otlp->waiting = false;
	if (source.document == NULL)
		return;
	otlp->sent_version = feed_version(feed);
	otlp_encode(&body, &source);
	otlp->payload_bytes = body.size;
	error = body.failed ? -ENOMEM : fetch_start(otlp->gateway->fetcher, &request, &otlp->fetch);
	body_free(&body);
	if (error < 0)
		failed(otlp, &(struct fetch_result){.error = strerror(-error)});
}

/* ---- its time ---- */

static int on_again(sd_event_source *source, uint64_t time_us, void *data)
{
	struct otlp *otlp = data;

	(void)source;
	(void)time_us;
	otlp->backing_off = false;
	push(otlp);
	return 0;
}

static int on_interval(sd_event_source *source, uint64_t time_us, void *data)
{
	struct otlp *otlp = data;
	const struct feed *feed = otlp->gateway->feed;

	(void)time_us;
	sd_event_source_set_time_relative(source, otlp->gateway->options->otlp_interval_ns / 1000);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	/* What is old is not told as if it were news. */
	if (feed_state(feed) != FEED_LIVE || feed_version(feed) == otlp->sent_version)
		return 0;
	if (otlp->fetch == NULL && !otlp->backing_off) {
		push(otlp);
		return 0;
	}
	otlp->dropped += otlp->waiting;
	otlp->waiting = true;
	return 0;
}

static void on_feed(struct feed *feed, void *data)
{
	struct otlp *otlp = data;

	if (feed_document(feed) != NULL)
		otlp_epoch_take(&otlp->epoch, feed_document(feed));
}

/* ---- all of it ---- */

static int timers_make(struct otlp *otlp)
{
	uint64_t first_us =
		(monotonic_ns() +
		 (uint64_t)((double)otlp->gateway->options->otlp_interval_ns * chance())) /
		1000;
	sd_event *event = otlp->gateway->event;
	int error = sd_event_add_time(event, &otlp->timer, CLOCK_MONOTONIC, first_us, 1000,
				      on_interval, otlp);

	if (error < 0)
		return error;
	error = sd_event_add_time(event, &otlp->again, CLOCK_MONOTONIC, 0, 1000, on_again, otlp);
	if (error < 0)
		return error;
	return sd_event_source_set_enabled(otlp->again, SD_EVENT_OFF);
}

int otlp_new(struct gateway *gateway, struct otlp **out)
{
	struct otlp *otlp = calloc(1, sizeof *otlp);
	int error;

	*out = NULL;
	if (otlp == NULL)
		return -ENOMEM;
	otlp->gateway = gateway;
	if (gethostname(otlp->host, sizeof otlp->host - 1) != 0)
		strcpy(otlp->host, "localhost");
	error = timers_make(otlp);
	if (error < 0) {
		otlp_free(otlp);
		return error;
	}
	feed_listen(gateway->feed, on_feed, otlp);
	*out = otlp;
	return 0;
}

void otlp_free(struct otlp *otlp)
{
	if (otlp == NULL)
		return;
	if (otlp->fetch != NULL)
		fetch_cancel(otlp->fetch);
	sd_event_source_disable_unref(otlp->timer);
	sd_event_source_disable_unref(otlp->again);
	free(otlp);
}

void otlp_status_write(const struct otlp *otlp, struct body *out)
{
	body_printf(out,
		    "{\"pushes\":%" PRIu64 ",\"failures\":%" PRIu64 ",\"failures_row\":%" PRIu32
		    ",\"dropped\":%" PRIu64 ",\"in_flight\":%s,\"waiting\":%s,"
		    "\"payload_bytes\":%zu",
		    otlp->pushes, otlp->failures, otlp->failures_row, otlp->dropped,
		    otlp->fetch != NULL ? "true" : "false", otlp->waiting ? "true" : "false",
		    otlp->payload_bytes);
	if (otlp->last_success_unix_ns != 0)
		body_printf(out, ",\"last_success_unix_ns\":%" PRIu64, otlp->last_success_unix_ns);
	if (otlp->last_error[0] != '\0') {
		body_text(out, ",\"last_error\":");
		body_json_text(out, otlp->last_error, strlen(otlp->last_error));
	}
	body_text(out, "}");
}

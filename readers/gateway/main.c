/* SPDX-License-Identifier: MIT */
/* main.c - shmbus-gateway: starts its parts, and ends them in order. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#include "server.h"
#include "stream.h"

#define FAREWELL_US 5000000u /* for answers that are under way */
#define FAREWELL_LOOK_US 20000u

/* ---- the end ---- */

struct farewell {
	struct gateway *gateway;
	uint64_t end_us; /* 0: it has not begun */
};

static int on_farewell(sd_event_source *source, uint64_t time_us, void *data)
{
	struct farewell *farewell = data;
	sd_event *event = farewell->gateway->event;

	if (server_farewell(farewell->gateway->server) == 0 || time_us >= farewell->end_us)
		return sd_event_exit(event, 0);
	sd_event_source_set_time(source, time_us + FAREWELL_LOOK_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* Takes no more, says goodbye to streams, and gives answers under way their time. A second signal
 * ends it at once. */
static int on_end(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	struct farewell *farewell = data;
	sd_event *event = sd_event_source_get_event(source);
	uint64_t now_us;

	(void)info;
	if (farewell->end_us != 0)
		return sd_event_exit(event, 0);
	sd_notify(0, "STOPPING=1");
	sd_event_now(event, CLOCK_MONOTONIC, &now_us);
	farewell->end_us = now_us + FAREWELL_US;
	server_quiesce(farewell->gateway->server);
	streams_stop(farewell->gateway->streams);
	return sd_event_add_time(event, NULL, CLOCK_MONOTONIC, now_us, 1000, on_farewell, farewell);
}

/* ---- the beginning ---- */

/* As many descriptors as it may have: each connection takes one. */
static void descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int signals_take(sd_event *event, struct farewell *farewell)
{
	static const int ends[] = {SIGTERM, SIGINT};

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
		int error = sd_event_add_signal(event, NULL, ends[i] | SD_EVENT_SIGNAL_PROCMASK,
						on_end, farewell);

		if (error < 0)
			return error;
	}
	return 0;
}

static int serve(struct gateway *gateway)
{
	struct farewell farewell = {gateway, 0};
	int error = signals_take(gateway->event, &farewell);

	if (error < 0)
		return error;
	error = gateway_start(gateway);
	if (error == 0) {
		for (size_t i = 0; server_address(gateway->server, i) != NULL; i++)
			fprintf(stderr, "shmbus-gateway: bus \"%s\" on %s\n",
				feed_bus(gateway->feed), server_address(gateway->server, i));
		sd_notify(0, "READY=1");
		error = sd_event_loop(gateway->event);
	}
	gateway_end(gateway);
	return error;
}

int main(int argc, char **argv)
{
	struct gateway_options options;
	struct gateway gateway = {.options = &options};
	int status = options_load(argc, argv, &options), error;

	if (status >= 0) {
		options_free(&options);
		return status;
	}
	descriptors_raise();
	error = sd_event_new(&gateway.event);
	if (error >= 0)
		error = serve(&gateway);
	sd_event_unref(gateway.event);
	options_free(&options);
	return error < 0 ? 1 : 0;
}

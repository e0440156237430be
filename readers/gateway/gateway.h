/* SPDX-License-Identifier: MIT */
/*
 * gateway.h - the parts of shmbus-gateway, and who knows whom.
 *
 *	shared memory --> feed --> expose_*, frame, health --> answers, streams
 *	configured services --> fetch --> probe --> health
 *
 * One thread, one event loop (sd-event): libmicrohttpd, libcurl, the feed, timers and signals all
 * wait there. A handler may neither wait nor keep the loop for long.
 */
#ifndef SHMBUS_GATEWAY_GATEWAY_H
#define SHMBUS_GATEWAY_GATEWAY_H

#include <systemd/sd-event.h>

#include "feed.h"
#include "options.h"
#include "request.h"

struct fetcher; /* fetch.h: HTTP, TCP and Unix connections to elsewhere */
struct health;  /* health.h: services that are probed, and the verdict on all */
struct streams; /* stream.h: who gets each snapshot */
struct exposer; /* expose.h: /metrics */
struct server;  /* server.h: listeners, connections, routes */
struct otlp;    /* otlp.h: what is pushed to a collector */

struct gateway {
	sd_event *event;
	const struct gateway_options *options;
	struct feed *feed;
	struct fetcher *fetcher;
	struct health *health;
	struct exposer *exposer;
	struct streams *streams;
	struct otlp *otlp; /* NULL where nothing is pushed */
	struct server *server;
};

/* Starts all parts of a gateway that has its event loop and options. Returns 0, or a negative errno
 * after a message; gateway_end() is to be called even so. */
int gateway_start(struct gateway *gateway);
void gateway_end(struct gateway *gateway);

#endif /* SHMBUS_GATEWAY_GATEWAY_H */

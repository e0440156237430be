/* SPDX-License-Identifier: MIT */
/* gateway.c - the parts, started so that each finds those that it needs, and ended backwards. */
#include <stdio.h>
#include <string.h>

#include "expose.h"
#include "fetch.h"
#include "health.h"
#include "otlp.h"
#include "server.h"
#include "stream.h"

static int parts_start(struct gateway *gateway)
{
	int error = fetcher_new(gateway->event, &gateway->fetcher);

	if (error == 0)
		error = health_new(gateway, &gateway->health);
	if (error == 0 && gateway->options->otlp_url != NULL)
		error = otlp_new(gateway, &gateway->otlp);
	if (error == 0)
		error = exposer_new(gateway, &gateway->exposer);
	if (error == 0)
		error = streams_new(gateway, &gateway->streams);
	return error;
}

int gateway_start(struct gateway *gateway)
{
	int error = feed_new(gateway->event, gateway->options->bus, &gateway->feed);

	if (error < 0) {
		fprintf(stderr, "shmbus-gateway: --bus: %s\n", strerror(-error));
		return error;
	}
	error = parts_start(gateway);
	if (error < 0) {
		fprintf(stderr, "shmbus-gateway: cannot start: %s\n", strerror(-error));
		return error;
	}
	return server_new(gateway, &gateway->server);
}

void gateway_end(struct gateway *gateway)
{
	if (gateway->streams != NULL)
		streams_cut(gateway->streams);
	server_free(gateway->server);
	gateway->server = NULL;
	streams_free(gateway->streams);
	gateway->streams = NULL;
	exposer_free(gateway->exposer);
	gateway->exposer = NULL;
	otlp_free(gateway->otlp);
	gateway->otlp = NULL;
	health_free(gateway->health);
	gateway->health = NULL;
	fetcher_free(gateway->fetcher);
	gateway->fetcher = NULL;
	feed_free(gateway->feed);
	gateway->feed = NULL;
}

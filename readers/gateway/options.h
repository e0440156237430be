/* SPDX-License-Identifier: MIT */
/*
 * options.h - what shmbus-gateway is told: by flags, else the environment, else an INI file.
 *
 * Each flag --some-name is SHMBUS_GATEWAY_SOME_NAME in the environment and some-name in the
 * section [gateway] of the file. Services have sections of their own: [service NAME].
 */
#ifndef SHMBUS_GATEWAY_OPTIONS_H
#define SHMBUS_GATEWAY_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPTIONS_LISTEN_MAX 8
#define OPTIONS_SERVICES_MAX 64
#define OPTIONS_NAME_SIZE 64

/* A service that is probed: [service NAME] of the file. */
struct service_options {
	char name[OPTIONS_NAME_SIZE];
	char *url;                     /* http://, https://, tcp://HOST:PORT, unix:///PATH */
	char group[OPTIONS_NAME_SIZE]; /* "": in none; of a group one is active */
	bool fallback;                 /* role = fallback; else primary */
	bool critical;                 /* without it nothing works: /health says 503 */
	uint64_t interval_ns;          /* 30 s */
	uint64_t timeout_ns;           /* 3 s */
	unsigned int expect_status;    /* HTTP: 0 takes 200 to 399 */
};

struct gateway_options {
	char *bus; /* NULL: $SHMBUS_BUS, else "default" */

	char *listen[OPTIONS_LISTEN_MAX]; /* ADDR:PORT, [::1]:PORT, unix:PATH */
	size_t listens;
	char *hosts; /* names beside the loopback's that a Host header may have: a list with commas
		      */
	uint32_t connections_max;
	uint32_t connections_address_max; /* of one address */
	uint32_t streams_max;
	uint64_t timeout_ns; /* a connection that neither sends nor takes is closed */
	bool access_log;
	char *admin_token; /* for POST over TCP; NULL: only over a Unix socket */

	bool sessions;       /* /metrics has a series for each session unless asked otherwise */
	uint32_t series_max; /* beyond it series are left out, and counted */
	bool classic;        /* classic buckets beside native histograms in protobuf */

	struct service_options services[OPTIONS_SERVICES_MAX];
	size_t service_count;

	char *otlp_url; /* http://HOST:4318/v1/metrics; NULL: nothing is pushed */
	uint64_t otlp_interval_ns;
};

/* Returns -1 to go on, else the exit status, after a message or the help. */
int options_load(int argc, char **argv, struct gateway_options *options);
void options_free(struct gateway_options *options);

#endif /* SHMBUS_GATEWAY_OPTIONS_H */

/* SPDX-License-Identifier: MIT */
/* expose.h - /metrics: a snapshot in the formats of Prometheus and as JSON. */
#ifndef SHMBUS_GATEWAY_EXPOSE_H
#define SHMBUS_GATEWAY_EXPOSE_H

#include "feed.h"
#include "request.h"

enum expose_format {
	EXPOSE_JSON,
	EXPOSE_TEXT,        /* Prometheus text 0.0.4 */
	EXPOSE_OPENMETRICS, /* OpenMetrics 1.0 */
	EXPOSE_PROTOBUF,    /* io.prometheus.client.MetricFamily, delimited */
	EXPOSE_FORMATS,
};

/* The format that an Accept header asks for (NULL: none was sent): by quality, then by the order
 * above with text first. */
enum expose_format expose_negotiate(const char *accept);
const char *expose_content_type(enum expose_format format);

struct expose_options {
	bool sessions;
	bool classic;
	uint32_t series_max;
};

/* Writes what a feed has. Without a live snapshot: what the gateway knows of itself alone. */
void expose_write(struct body *out, enum expose_format format, const struct feed *feed,
		  const struct expose_options *options);

/* Keeps a rendering for each format and option that was asked for, made once for each snapshot. */
struct exposer;
int exposer_new(struct gateway *gateway, struct exposer **out);
void exposer_free(struct exposer *exposer);

enum MHD_Result handle_metrics(struct request *request); /* GET /metrics */

#endif /* SHMBUS_GATEWAY_EXPOSE_H */

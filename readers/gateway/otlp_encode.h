/* SPDX-License-Identifier: MIT */
/* otlp_encode.h - a snapshot's totals as OTLP's ExportMetricsServiceRequest in JSON. */
#ifndef SHMBUS_GATEWAY_OTLP_ENCODE_H
#define SHMBUS_GATEWAY_OTLP_ENCODE_H

#include "body.h"
#include "document.h"

/*
 * When the totals of a bus began. An agent that went on from a checkpoint has totals that are
 * older than itself, by nobody knows how much: then it is when they were first seen, which is how
 * OTLP says so. They begin again where an agent starts without its checkpoint.
 */
struct otlp_epoch {
	uint64_t start_unix_ns; /* 0: nothing was seen yet */
	uint64_t incarnation;
	uint64_t samples;
};

void otlp_epoch_take(struct otlp_epoch *epoch, const struct document *document);

struct otlp_source {
	const struct document *document;
	const char *bus;
	const char *host;
	uint64_t start_unix_ns;
};

void otlp_encode(struct body *out, const struct otlp_source *source);

#endif /* SHMBUS_GATEWAY_OTLP_ENCODE_H */

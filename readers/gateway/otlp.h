/* SPDX-License-Identifier: MIT */
/* otlp.h - the totals of the bus, pushed to an OpenTelemetry collector (OTLP/HTTP, JSON). */
#ifndef SHMBUS_GATEWAY_OTLP_H
#define SHMBUS_GATEWAY_OTLP_H

#include "body.h"

struct gateway;
struct otlp;

int otlp_new(struct gateway *gateway, struct otlp **out);
void otlp_free(struct otlp *otlp); /* NULL is allowed */

/* A JSON object: what was pushed, what failed, and why. */
void otlp_status_write(const struct otlp *otlp, struct body *out);

#endif /* SHMBUS_GATEWAY_OTLP_H */

/* SPDX-License-Identifier: MIT */
/* health.h - how the bus, its sessions and the configured services are. */
#ifndef SHMBUS_GATEWAY_HEALTH_H
#define SHMBUS_GATEWAY_HEALTH_H

#include "request.h"

struct health;

int health_new(struct gateway *gateway, struct health **out);
void health_free(struct health *health);

/* The value of "health" in frames of streams: a JSON object, small. */
void health_summary_write(struct health *health, struct body *out);

/* GET /api/v1/monitoring/{health,health/services,metrics,status}, POST .../health/reset/{id} */
enum MHD_Result handle_health(struct request *request);
enum MHD_Result handle_services(struct request *request);
enum MHD_Result handle_monitoring_metrics(struct request *request);
enum MHD_Result handle_status(struct request *request);
enum MHD_Result handle_reset(struct request *request); /* request->rest: the service */

#endif /* SHMBUS_GATEWAY_HEALTH_H */

/* SPDX-License-Identifier: MIT */
/* routes.c - what is served where. */
#include <stddef.h>

#include "expose.h"
#include "health.h"
#include "page.h"
#include "server.h"
#include "snapshot.h"
#include "stream.h"

const struct route routes[] = {
	{"GET", "/", handle_page},
	{"GET", "/app.js", handle_page},
	{"GET", "/app.css", handle_page},
	{"GET", "/licenses.txt", handle_page},
	{"GET", "/api/v1/snapshot", handle_snapshot},
	{"GET", "/metrics", handle_metrics},
	{"GET", "/api/v1/stream", handle_sse},
	{"GET", "/api/v1/ws", handle_ws},
	{"GET", "/api/v1/monitoring/health", handle_health},
	{"GET", "/api/v1/monitoring/health/services", handle_services},
	{"POST", "/api/v1/monitoring/health/reset/*", handle_reset},
	{"GET", "/api/v1/monitoring/metrics", handle_monitoring_metrics},
	{"GET", "/api/v1/monitoring/status", handle_status},
	{NULL, NULL, NULL},
};

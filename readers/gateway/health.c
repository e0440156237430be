/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "health_private.h"
#include "times.h"

/* ---- drops ---- */

static void on_feed(struct feed *feed, void *data)
{
	struct health *health = data;
	const struct document *document = feed_document(feed);
	uint64_t dropped;

	if (document == NULL)
		return;
	dropped = member_u64(member(&document->root, "totals"), "dropped_total", 0);
	if (health->dropped_known && dropped > health->dropped)
		health->dropped_ns = monotonic_ns();
	/* An agent that begins anew has fewer. */
	health->dropped = dropped;
	health->dropped_known = true;
}

static bool dropped_recently(const struct health *health)
{
	return health->dropped_ns != 0 &&
	       monotonic_ns() - health->dropped_ns < BUS_HEALTH_RECENT_NS;
}

/* ---- the verdict ---- */

static bool is_down(const struct health *health, size_t i)
{
	return probes_service(health->probes, i)->critical &&
	       probe_status(probes_state(health->probes, i)) == PROBE_FAILED;
}

struct health_verdict health_judge(struct health *health)
{
	struct health_verdict verdict = {.dropped_recently = dropped_recently(health)};
	const struct feed *feed = health->gateway->feed;
	bool down = false;

	if (health->bus_version != feed_version(feed)) {
		health->bus = bus_health_of(feed_document(feed));
		health->bus_version = feed_version(feed);
	}
	verdict.bus = health->bus;
	for (size_t i = 0; i < probes_count(health->probes); i++) {
		verdict.services[probe_status(probes_state(health->probes, i))]++;
		down |= is_down(health, i);
	}
	if (down)
		verdict.status = PROBE_FAILED;
	else if (feed_state(feed) != FEED_LIVE || verdict.dropped_recently ||
		 verdict.bus.stale != 0 || verdict.bus.lost_recently != 0 ||
		 verdict.bus.targets_missed != 0 || verdict.services[PROBE_DEGRADED] != 0 ||
		 verdict.services[PROBE_FAILED] != 0)
		verdict.status = PROBE_DEGRADED;
	return verdict;
}

void health_critical_write(struct health *health, struct body *out)
{
	bool first = true;

	body_text(out, "[");
	for (size_t i = 0; i < probes_count(health->probes); i++) {
		const char *name = probes_service(health->probes, i)->name;

		if (!is_down(health, i))
			continue;
		if (!first)
			body_text(out, ",");
		first = false;
		body_json_text(out, name, strlen(name));
	}
	body_text(out, "]");
}

void health_services_write(const struct health_verdict *verdict, struct body *out)
{
	const size_t *services = verdict->services;

	body_printf(out, "{\"total\":%zu,\"healthy\":%zu,\"degraded\":%zu,\"failed\":%zu}",
		    services[PROBE_HEALTHY] + services[PROBE_DEGRADED] + services[PROBE_FAILED],
		    services[PROBE_HEALTHY], services[PROBE_DEGRADED], services[PROBE_FAILED]);
}

void health_summary_write(struct health *health, struct body *out)
{
	struct health_verdict verdict = health_judge(health);

	body_printf(out,
		    "{\"status\":\"%s\",\"critical_down\":", probe_status_name(verdict.status));
	health_critical_write(health, out);
	body_text(out, ",\"services\":");
	health_services_write(&verdict, out);
	body_text(out, "}");
}

/* ---- health ---- */

int health_new(struct gateway *gateway, struct health **out)
{
	struct health *health = calloc(1, sizeof *health);
	int error;

	*out = NULL;
	if (health == NULL)
		return -ENOMEM;
	health->gateway = gateway;
	health->start_ns = monotonic_ns();
	health->start_unix_ns = unix_time_ns();
	health->bus_version = UINT64_MAX;
	error = probes_new(gateway, &health->probes);
	if (error < 0) {
		free(health);
		return error;
	}
	feed_listen(gateway->feed, on_feed, health);
	*out = health;
	return 0;
}

void health_free(struct health *health)
{
	if (health == NULL)
		return;
	probes_free(health->probes);
	free(health);
}

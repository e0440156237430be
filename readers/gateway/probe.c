/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch.h"
#include "probe.h"
#include "times.h"

#define JITTER 0.1                /* of the interval, to both sides */
#define SPREAD_NS_MAX 1000000000u /* of the first probes */

struct probe {
	struct probes *probes;
	const struct service_options *service;
	struct probe_state state;
	struct fetch *fetch; /* NULL: none under way */
	sd_event_source *timer;
	uint64_t next_ns; /* CLOCK_MONOTONIC */
};

struct probes {
	struct gateway *gateway;
	uint64_t version;
	size_t count;
	struct probe probe[];
};

/* ---- one probe after the other ---- */

static void wait_until(struct probe *probe, uint64_t time_ns)
{
	sd_event_source_set_time(probe->timer, time_ns / 1000);
	sd_event_source_set_enabled(probe->timer, SD_EVENT_ONESHOT);
}

/* "": it was good. */
static const char *judge(const struct service_options *service, const struct fetch_result *result,
			 char *out, size_t size)
{
	unsigned int status = result->status;
	bool good = service->expect_status != 0 ? status == service->expect_status
						: status >= 200 && status < 400;

	out[0] = '\0';
	if (!result->reached)
		snprintf(out, size, "%s", result->error);
	else if (status != 0 && !good)
		snprintf(out, size, "HTTP status %u", status);
	return out;
}

static void say_change(const struct probe *probe, enum probe_status before)
{
	const struct probe_state *state = &probe->state;
	enum probe_status after = probe_status(state);
	char error[PROBE_ERROR_SIZE];

	if (after == before)
		return;
	fprintf(stderr, "shmbus-gateway: service %s: %s after %s", probe->service->name,
		probe_status_name(after), probe_status_name(before));
	if (state->failures_row != 0)
		fprintf(stderr, ", failures in a row: %" PRIu64 ": %s", state->failures_row,
			text_clean(state->last_error, strlen(state->last_error), error,
				   sizeof error));
	fputs("\n", stderr);
}

static void take(struct probe *probe, const struct fetch_result *result)
{
	enum probe_status before = probe_status(&probe->state);
	char error[PROBE_ERROR_SIZE];

	judge(probe->service, result, error, sizeof error);
	if (error[0] == '\0')
		probe_succeeded(&probe->state, unix_time_ns(), result->time_ns);
	else
		probe_failed(&probe->state, unix_time_ns(), error);
	probe->probes->version++;
	say_change(probe, before);
}

static void on_result(const struct fetch_result *result, void *data)
{
	struct probe *probe = data;

	probe->fetch = NULL;
	take(probe, result);
	wait_until(probe, probe->next_ns);
}

static int on_time(sd_event_source *source, uint64_t time_us, void *data)
{
	struct probe *probe = data;
	const struct service_options *service = probe->service;
	double interval_ns = (double)service->interval_ns * (1 - JITTER + 2 * JITTER * chance());
	struct fetch_request request = {
		.url = service->url,
		.timeout_ns = service->timeout_ns,
		.call = on_result,
		.data = probe,
	};
	int error;

	(void)source;
	(void)time_us;
	probe->next_ns = monotonic_ns() + (uint64_t)interval_ns;
	error = fetch_start(probe->probes->gateway->fetcher, &request, &probe->fetch);
	if (error < 0)
		on_result(&(struct fetch_result){.error = strerror(-error)}, probe);
	return 0;
}

/* ---- all of them ---- */

static int probe_begin(struct probe *probe)
{
	uint64_t spread_ns = probe->service->interval_ns < SPREAD_NS_MAX
				     ? probe->service->interval_ns
				     : SPREAD_NS_MAX;
	uint64_t first_ns = monotonic_ns() + (uint64_t)((double)spread_ns * chance());
	int error = sd_event_add_time(probe->probes->gateway->event, &probe->timer, CLOCK_MONOTONIC,
				      first_ns / 1000, 1000, on_time, probe);

	return error < 0 ? error : 0;
}

int probes_new(struct gateway *gateway, struct probes **out)
{
	const struct gateway_options *options = gateway->options;
	struct probes *probes =
		calloc(1, sizeof *probes + options->service_count * sizeof probes->probe[0]);
	int error = 0;

	*out = NULL;
	if (probes == NULL)
		return -ENOMEM;
	probes->gateway = gateway;
	for (size_t i = 0; i < options->service_count && error == 0; i++) {
		probes->probe[i].probes = probes;
		probes->probe[i].service = &options->services[i];
		error = probe_begin(&probes->probe[i]);
		probes->count += error == 0;
	}
	if (error < 0) {
		probes_free(probes);
		return error;
	}
	*out = probes;
	return 0;
}

void probes_free(struct probes *probes)
{
	if (probes == NULL)
		return;
	for (size_t i = 0; i < probes->count; i++) {
		if (probes->probe[i].fetch != NULL)
			fetch_cancel(probes->probe[i].fetch);
		sd_event_source_disable_unref(probes->probe[i].timer);
	}
	free(probes);
}

size_t probes_count(const struct probes *probes)
{
	return probes->count;
}

const struct service_options *probes_service(const struct probes *probes, size_t i)
{
	return probes->probe[i].service;
}

const struct probe_state *probes_state(const struct probes *probes, size_t i)
{
	return &probes->probe[i].state;
}

uint64_t probes_version(const struct probes *probes)
{
	return probes->version;
}

bool probes_reset(struct probes *probes, const char *name, size_t *out)
{
	for (size_t i = 0; i < probes->count; i++) {
		struct probe *probe = &probes->probe[i];

		if (strcmp(probe->service->name, name) != 0)
			continue;
		if (probe->fetch != NULL)
			fetch_cancel(probe->fetch);
		probe->fetch = NULL;
		probe->state = (struct probe_state){0};
		probes->version++;
		wait_until(probe, monotonic_ns());
		*out = i;
		return true;
	}
	return false;
}

/* ---- groups ---- */

static bool in_group(const struct probe *probe, const char *group)
{
	return strcmp(probe->service->group, group) == 0;
}

static size_t group_active(const struct probes *probes, const char *group)
{
	struct probe_member members[OPTIONS_SERVICES_MAX];
	size_t index[OPTIONS_SERVICES_MAX + 1], count = 0;

	for (size_t i = 0; i < probes->count; i++) {
		if (!in_group(&probes->probe[i], group))
			continue;
		members[count].fallback = probes->probe[i].service->fallback;
		members[count].status = probe_status(&probes->probe[i].state);
		index[count++] = i;
	}
	index[count] = probes->count;
	return index[probe_active(members, count)];
}

bool probes_active(const struct probes *probes, size_t i)
{
	const char *group = probes->probe[i].service->group;

	if (group[0] == '\0')
		return probe_status(&probes->probe[i].state) != PROBE_FAILED;
	return group_active(probes, group) == i;
}

/* Whether a service is the first one of its group. */
static bool begins_group(const struct probes *probes, size_t i)
{
	const char *group = probes->probe[i].service->group;

	if (group[0] == '\0')
		return false;
	for (size_t j = 0; j < i; j++)
		if (in_group(&probes->probe[j], group))
			return false;
	return true;
}

const char *probes_group(const struct probes *probes, size_t i, size_t *active)
{
	for (size_t j = 0; j < probes->count; j++) {
		if (!begins_group(probes, j) || i-- != 0)
			continue;
		*active = group_active(probes, probes->probe[j].service->group);
		return probes->probe[j].service->group;
	}
	return NULL;
}

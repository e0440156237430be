/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "options_set.h"

const struct option option_table[] = {
	{"bus", required_argument, NULL, OPTION_SETTING},
	{"listen", required_argument, NULL, OPTION_SETTING},
	{"hosts", required_argument, NULL, OPTION_SETTING},
	{"config", required_argument, NULL, OPTION_CONFIG},
	{"connections", required_argument, NULL, OPTION_SETTING},
	{"connections-per-address", required_argument, NULL, OPTION_SETTING},
	{"streams", required_argument, NULL, OPTION_SETTING},
	{"timeout", required_argument, NULL, OPTION_SETTING},
	{"access-log", no_argument, NULL, OPTION_SETTING},
	{"admin-token-file", required_argument, NULL, OPTION_SETTING},
	{"sessions", no_argument, NULL, OPTION_SETTING},
	{"series", required_argument, NULL, OPTION_SETTING},
	{"classic", no_argument, NULL, OPTION_SETTING},
	{"otlp", required_argument, NULL, OPTION_SETTING},
	{"otlp-interval", required_argument, NULL, OPTION_SETTING},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

bool option_refused(const char *origin, const char *value, const char *allowed)
{
	fprintf(stderr, "shmbus-gateway: %s: \"%s\" is not allowed: %s\n", origin, value, allowed);
	return false;
}

/* ---- kinds of values ---- */

static bool set_text(char **into, const char *value)
{
	char *copy = strdup(value);

	if (copy == NULL) {
		fputs("shmbus-gateway: no memory\n", stderr);
		return false;
	}
	free(*into);
	*into = copy;
	return true;
}

static bool set_bool(bool *into, const char *value, const char *origin)
{
	static const char *const yes[] = {"yes", "true", "on", "1"};
	static const char *const no[] = {"no", "false", "off", "0"};

	for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
		if (strcasecmp(value, yes[i]) != 0 && strcasecmp(value, no[i]) != 0)
			continue;
		*into = strcasecmp(value, yes[i]) == 0;
		return true;
	}
	return option_refused(origin, value, "yes or no");
}

static bool set_count(uint32_t *into, const char *value, uint32_t max, const char *origin)
{
	char allowed[32], *end;
	unsigned long number = strtoul(value, &end, 10);

	snprintf(allowed, sizeof allowed, "1 to %u", max);
	if (value[0] < '0' || value[0] > '9' || *end != '\0' || number < 1 || number > max)
		return option_refused(origin, value, allowed);
	*into = (uint32_t)number;
	return true;
}

static bool set_seconds(uint64_t *into, const char *value, double low, double high,
			const char *origin)
{
	char allowed[48], *end;
	double number = strtod(value, &end);

	if (end != value && *end == 's' && end[1] == '\0')
		end++;
	snprintf(allowed, sizeof allowed, "%g to %g seconds", low, high);
	if (end == value || *end != '\0' || !(number >= low && number <= high))
		return option_refused(origin, value, allowed);
	*into = (uint64_t)llround(number * 1e9);
	return true;
}

static bool set_name(char into[OPTIONS_NAME_SIZE], const char *value, const char *origin)
{
	size_t length = strlen(value);

	if (length == 0 || length >= OPTIONS_NAME_SIZE ||
	    strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") !=
		    length)
		return option_refused(origin, value, "1 to 63 of A-Z a-z 0-9 _ . -");
	memcpy(into, value, length + 1);
	return true;
}

static bool scheme_is(const char *url, const char *scheme)
{
	return strncasecmp(url, scheme, strlen(scheme)) == 0 && url[strlen(scheme)] != '\0';
}

static bool set_url(char **into, const char *value, bool connections, const char *origin)
{
	if (scheme_is(value, "http://") || scheme_is(value, "https://") ||
	    (connections && (scheme_is(value, "tcp://") || scheme_is(value, "unix:///"))))
		return set_text(into, value);
	return option_refused(origin, value,
			      connections ? "http://, https://, tcp://HOST:PORT, unix:///PATH"
					  : "http:// or https://");
}

/* The first line of a file that others should not be able to read. */
static bool set_token(char **into, const char *path, const char *origin)
{
	FILE *file = fopen(path, "re");
	char line[512] = "";
	bool read = file != NULL && fgets(line, sizeof line, file) != NULL;

	if (file != NULL)
		fclose(file);
	line[strcspn(line, "\r\n")] = '\0';
	if (!read || strlen(line) < 16)
		return option_refused(origin, path,
				      "a file whose first line is a token of 16 bytes or more");
	return set_text(into, line);
}

static bool add_listen(struct gateway_options *options, const char *value, const char *origin)
{
	char *list = strdup(value), *at = list, *one;
	bool good = list != NULL;

	while (good && (one = strsep(&at, ", ")) != NULL) {
		if (*one == '\0')
			continue;
		if (options->listens == OPTIONS_LISTEN_MAX)
			good = option_refused(origin, value, "8 of them at most");
		else
			good = set_text(&options->listen[options->listens++], one);
	}
	free(list);
	return good;
}

/* ---- options ---- */

static bool set_limits(struct gateway_options *options, const char *name, const char *value,
		       const char *origin)
{
	if (strcmp(name, "connections") == 0)
		return set_count(&options->connections_max, value, 100000, origin);
	if (strcmp(name, "connections-per-address") == 0)
		return set_count(&options->connections_address_max, value, 100000, origin);
	if (strcmp(name, "streams") == 0)
		return set_count(&options->streams_max, value, 100000, origin);
	if (strcmp(name, "series") == 0)
		return set_count(&options->series_max, value, 10000000, origin);
	if (strcmp(name, "timeout") == 0)
		return set_seconds(&options->timeout_ns, value, 1, 3600, origin);
	if (strcmp(name, "otlp-interval") == 0)
		return set_seconds(&options->otlp_interval_ns, value, 0.1, 3600, origin);
	return option_refused(origin, value, "there is no such option");
}

bool option_set(struct gateway_options *options, const char *name, const char *value,
		const char *origin)
{
	if (strcmp(name, "bus") == 0)
		return set_text(&options->bus, value);
	if (strcmp(name, "listen") == 0)
		return add_listen(options, value, origin);
	if (strcmp(name, "hosts") == 0)
		return set_text(&options->hosts, value);
	if (strcmp(name, "access-log") == 0)
		return set_bool(&options->access_log, value, origin);
	if (strcmp(name, "admin-token-file") == 0)
		return set_token(&options->admin_token, value, origin);
	if (strcmp(name, "sessions") == 0)
		return set_bool(&options->sessions, value, origin);
	if (strcmp(name, "classic") == 0)
		return set_bool(&options->classic, value, origin);
	if (strcmp(name, "otlp") == 0)
		return set_url(&options->otlp_url, value, false, origin);
	return set_limits(options, name, value, origin);
}

/* ---- services ---- */

/* The service of that name, which is added where it is new; NULL where it is not allowed. */
static struct service_options *service_find(struct gateway_options *options, const char *name,
					    const char *origin)
{
	struct service_options *service = &options->services[options->service_count];

	for (size_t i = 0; i < options->service_count; i++)
		if (strcmp(options->services[i].name, name) == 0)
			return &options->services[i];
	if (options->service_count == OPTIONS_SERVICES_MAX) {
		option_refused(origin, name, "64 services at most");
		return NULL;
	}
	*service = (struct service_options){
		.interval_ns = 30000000000u,
		.timeout_ns = 3000000000u,
	};
	if (!set_name(service->name, name, origin))
		return NULL;
	options->service_count++;
	return service;
}

bool option_service_set(struct gateway_options *options, const char *service_name, const char *name,
			const char *value, const char *origin)
{
	struct service_options *service = service_find(options, service_name, origin);

	if (service == NULL)
		return false;
	if (strcmp(name, "url") == 0)
		return set_url(&service->url, value, true, origin);
	if (strcmp(name, "group") == 0)
		return set_name(service->group, value, origin);
	if (strcmp(name, "critical") == 0)
		return set_bool(&service->critical, value, origin);
	if (strcmp(name, "interval") == 0)
		return set_seconds(&service->interval_ns, value, 0.05, 86400, origin);
	if (strcmp(name, "timeout") == 0)
		return set_seconds(&service->timeout_ns, value, 0.05, 300, origin);
	if (strcmp(name, "expect-status") == 0)
		return set_count(&service->expect_status, value, 599, origin);
	if (strcmp(name, "role") != 0)
		return option_refused(origin, value,
				      "url, group, role, critical, interval, timeout, "
				      "expect-status");
	service->fallback = strcmp(value, "fallback") == 0;
	return service->fallback || strcmp(value, "primary") == 0 ||
	       option_refused(origin, value, "primary or fallback");
}

bool option_services_check(const struct gateway_options *options, const char *origin)
{
	for (size_t i = 0; i < options->service_count; i++) {
		const struct service_options *service = &options->services[i];

		if (service->url == NULL) {
			fprintf(stderr, "shmbus-gateway: %s: [service %s] has no url\n", origin,
				service->name);
			return false;
		}
		if (service->timeout_ns > service->interval_ns) {
			fprintf(stderr,
				"shmbus-gateway: %s: [service %s] has a timeout longer than its "
				"interval\n",
				origin, service->name);
			return false;
		}
	}
	return true;
}

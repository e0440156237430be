/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shmbus/producer.h>

#include "options.h"
#include "options_set.h"

static const char help[] =
	"Usage: shmbus-gateway [OPTION]...\n\n"
	"Serves what a shmbus-agent publishes over HTTP: a live page at /, /metrics for\n"
	"Prometheus, JSON, streams. It reads snapshots and nothing else: it can neither\n"
	"delay an agent nor a program, and may be stopped at any time.\n\n"
	"  --bus NAME              the bus (default: $SHMBUS_BUS, else \"default\")\n"
	"  --listen ADDR:PORT      where (default: 127.0.0.1:9750); [IPv6]:PORT, unix:PATH.\n"
	"                          May be repeated. Sockets of systemd go before it\n"
	"  --hosts NAME,...        names that this host is called by, beside its own and\n"
	"                          localhost; * : any\n"
	"  --config FILE           an INI file; its section [gateway] has these options\n"
	"                          without --, [service NAME] what is probed\n"
	"  --connections N         at most so many at a time (1024)\n"
	"  --connections-per-address N  of them, of one address (512)\n"
	"  --streams N             at most so many streams at a time (256)\n"
	"  --timeout SECONDS       for a request to arrive, and for an answer to move (10)\n"
	"  --access-log            a line on standard error for each request\n"
	"  --admin-token-file FILE its first line admits POST requests that carry it:\n"
	"                          Authorization: Bearer TOKEN\n"
	"  --sessions              /metrics has series for each session, as with ?sessions=1\n"
	"  --series N              at most so many series in one answer (20000)\n"
	"  --classic               classic buckets beside native histograms\n"
	"  --otlp URL              pushes the totals to an OpenTelemetry collector, such as\n"
	"                          http://127.0.0.1:4318/v1/metrics\n"
	"  --otlp-interval SECONDS how often (10)\n"
	"  -h, --help; -V, --version\n\n"
	"Each option is also a variable: --listen is $SHMBUS_GATEWAY_LISTEN. Flags go before\n"
	"variables, variables before the file.\n\n"
	"Exit status: 0 after SIGTERM or SIGINT; 1 where it cannot serve; 2 for what is not\n"
	"allowed.\n\n"
	"Examples:\n"
	"  shmbus-gateway &\n"
	"  curl http://127.0.0.1:9750/metrics\n"
	"  shmbus-gateway --listen 0.0.0.0:9750 --listen unix:/run/shmbus/gateway.sock\n";

#define PREFIX "SHMBUS_GATEWAY_"

/* ---- the file ---- */

struct reading {
	struct gateway_options *options;
	const char *path;
	bool failed;
};

/* Says why not; false: inih goes on, to the first line that is wrong. */
static int on_pair(void *data, const char *section, const char *name, const char *value)
{
	struct reading *reading = data;
	char origin[256], service[] = "service ";

	if (reading->failed)
		return 1;
	snprintf(origin, sizeof origin, "%s: [%s] %s", reading->path, section, name);
	if (strcmp(section, "gateway") == 0)
		reading->failed = strcmp(name, "config") == 0
					  ? !option_refused(origin, value, "nothing: one file")
					  : !option_set(reading->options, name, value, origin);
	else if (strncmp(section, service, strlen(service)) == 0)
		reading->failed = !option_service_set(reading->options, section + strlen(service),
						      name, value, origin);
	else
		reading->failed =
			!option_refused(origin, section, "in section [gateway] or [service NAME]");
	return 1;
}

static bool file_read(struct gateway_options *options, const char *path)
{
	struct reading reading = {options, path, false};
	int result = ini_parse(path, on_pair, &reading);

	if (result > 0)
		fprintf(stderr, "shmbus-gateway: %s:%d is neither [SECTION] nor NAME = VALUE\n",
			path, result);
	else if (result < 0)
		fprintf(stderr, "shmbus-gateway: cannot read %s: %s\n", path, strerror(errno));
	return result == 0 && !reading.failed && option_services_check(options, path);
}

/* ---- the environment ---- */

/* --some-name as SHMBUS_GATEWAY_SOME_NAME. */
static const char *variable(const char *name, char *out, size_t size)
{
	size_t used = (size_t)snprintf(out, size, PREFIX);

	for (; *name != '\0' && used + 1 < size; name++)
		out[used++] = *name == '-' ? '_' : (char)toupper((unsigned char)*name);
	out[used] = '\0';
	return out;
}

static bool environment_read(struct gateway_options *options)
{
	for (const struct option *option = option_table; option->name != NULL; option++) {
		char name[64];
		const char *value = getenv(variable(option->name, name, sizeof name));

		if (value != NULL && option->val == OPTION_SETTING && *value != '\0' &&
		    !option_set(options, option->name, value, name))
			return false;
	}
	return true;
}

/* ---- flags ---- */

static int usage_error(void)
{
	fputs("Try 'shmbus-gateway --help'.\n", stderr);
	return 2;
}

/* Goes through the flags: with `options`, sets them; without, looks for --config, --help and
 * --version alone. Returns -1 to go on, else the exit status. */
static int flags_read(int argc, char **argv, struct gateway_options *options, const char **config)
{
	int option, index = 0;

	optind = 1;
	while ((option = getopt_long(argc, argv, "hV", option_table, &index)) != -1) {
		char origin[64];

		if (option == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (option == 'V') {
			printf("shmbus-gateway %s\n", SHMBUS_VERSION_STRING);
			return 0;
		}
		if (option == '?')
			return usage_error();
		if (option == OPTION_CONFIG) {
			*config = optarg;
			continue;
		}
		snprintf(origin, sizeof origin, "--%s", option_table[index].name);
		if (options != NULL && !option_set(options, option_table[index].name,
						   optarg != NULL ? optarg : "yes", origin))
			return usage_error();
	}
	if (optind < argc) {
		fprintf(stderr, "shmbus-gateway: \"%s\" is not allowed: there are only options\n",
			argv[optind]);
		return usage_error();
	}
	return -1;
}

/* Lists are replaced, not added to, by whoever goes before. */
static void listens_clear(struct gateway_options *options)
{
	while (options->listens > 0) {
		free(options->listen[--options->listens]);
		options->listen[options->listens] = NULL;
	}
}

static bool listens_given(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], "--listen", strlen("--listen")) == 0)
			return true;
	return false;
}

int options_load(int argc, char **argv, struct gateway_options *options)
{
	const char *config = getenv(PREFIX "CONFIG");
	int status;

	*options = (struct gateway_options){
		.connections_max = 1024,
		.connections_address_max = 512,
		.streams_max = 256,
		.timeout_ns = 10000000000u,
		.series_max = 20000,
		.otlp_interval_ns = 10000000000u,
	};
	status = flags_read(argc, argv, NULL, &config);
	if (status >= 0)
		return status;
	if (config != NULL && *config != '\0' && !file_read(options, config))
		return 2;
	if (getenv(PREFIX "LISTEN") != NULL)
		listens_clear(options);
	if (!environment_read(options))
		return 2;
	if (listens_given(argc, argv))
		listens_clear(options);
	return flags_read(argc, argv, options, &config);
}

void options_free(struct gateway_options *options)
{
	listens_clear(options);
	for (size_t i = 0; i < options->service_count; i++)
		free(options->services[i].url);
	free(options->bus);
	free(options->hosts);
	free(options->admin_token);
	free(options->otlp_url);
}

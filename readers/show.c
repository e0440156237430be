/* SPDX-License-Identifier: MIT */
/* show.c - shmbus show: all of one session, for people. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "json.h"
#include "options.h"

static const char help[] =
	"Usage: shmbus show [--json] [--bus NAME] SESSION\n\n"
	"Shows one session: its labels, writers, metrics and derived values. SESSION is its id,\n"
	"the beginning of its id, or the name of its segment.\n\n"
	"  --json   the session's part of the snapshot\n\n"
	"Example:\n"
	"  shmbus show studio\n";

static const struct option table[] = {{"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};

static bool take(int option, const char *value, void *data)
{
	(void)option, (void)value;
	*(bool *)data = true;
	return true;
}

enum fit { FIT_NOT, FIT_PREFIX, FIT_EXACT };

/* The segment goes with and without the slash that shm_open(3) takes. */
static enum fit session_fit(const msgpack_object *session, const char *wanted)
{
	char id[80], segment[96];

	member_text(session, "id", id, sizeof id);
	member_text(session, "segment", segment, sizeof segment);
	if (strcmp(id, wanted) == 0 || strcmp(segment, wanted) == 0 ||
	    (segment[0] == '/' && strcmp(segment + 1, wanted) == 0))
		return FIT_EXACT;
	return wanted[0] != '\0' && strncmp(id, wanted, strlen(wanted)) == 0 ? FIT_PREFIX : FIT_NOT;
}

/* An exact id before a beginning; of sessions of one id the newest, which stands last. NULL, and
 * says why, where none fits or the beginning fits several ids. */
static const msgpack_object *session_find(const struct document *document, const char *wanted)
{
	const msgpack_object *sessions = NULL, *exact = NULL, *prefix = NULL;
	size_t count = member_array(&document->root, "sessions", &sessions);
	bool several = false;

	for (size_t i = 0; i < count; i++) {
		enum fit fit = session_fit(&sessions[i], wanted);
		char id[80], before[80];

		if (fit == FIT_EXACT)
			exact = &sessions[i];
		if (fit != FIT_PREFIX)
			continue;
		several |= prefix != NULL &&
			   strcmp(member_text(&sessions[i], "id", id, sizeof id),
				  member_text(prefix, "id", before, sizeof before)) != 0;
		prefix = &sessions[i];
	}
	if (exact == NULL && prefix == NULL)
		fprintf(stderr, "shmbus: no session \"%s\": 'shmbus ls' lists them\n", wanted);
	else if (exact == NULL && several)
		fprintf(stderr, "shmbus: several sessions begin with \"%s\": say more of the id\n",
			wanted);
	return exact != NULL ? exact : several ? NULL : prefix;
}

static void print_head(const msgpack_object *session)
{
	const msgpack_object *labels = member(session, "labels");
	const msgpack_object *memory = member(session, "memory");
	char text[128], key[64], a[FORMAT_SIZE], b[FORMAT_SIZE], c[FORMAT_SIZE];

	printf("%s", member_text(session, "id", text, sizeof text));
	printf("  %s", member_text(session, "state", text, sizeof text));
	printf("  service %s", member_text(session, "service", text, sizeof text));
	printf("  pid %.0f  uid %.0f\n", member_real(session, "pid", 0),
	       member_real(session, "uid", 0));
	if (*member_text(session, "reason", text, sizeof text) != '\0')
		printf("reason: %s\n", text);
	printf("age %s  cpu %s  memory: shm %s, agent %s, process %s\n",
	       format_duration(a, member_real(session, "age_ns", NAN)),
	       format_percent(text, member_real(session, "cpu_ratio", NAN)),
	       format_bytes(key, member_real(memory, "shm_bytes", NAN)),
	       format_bytes(b, member_real(memory, "agent_bytes", NAN)),
	       format_bytes(c, member_real(memory, "process_rss_bytes", NAN)));
	for (uint32_t i = 0;
	     labels != NULL && labels->type == MSGPACK_OBJECT_MAP && i < labels->via.map.size;
	     i++) {
		const msgpack_object *name = &labels->via.map.ptr[i].key;
		const msgpack_object *value = &labels->via.map.ptr[i].val;

		if (name->type != MSGPACK_OBJECT_STR || value->type != MSGPACK_OBJECT_STR)
			continue;
		printf("%s%s=%s", i == 0 ? "labels: " : ", ",
		       text_clean(name->via.str.ptr, name->via.str.size, key, sizeof key),
		       text_clean(value->via.str.ptr, value->via.str.size, text, sizeof text));
	}
	puts("");
}

static void print_writers(const msgpack_object *session)
{
	const msgpack_object *writers = NULL;
	size_t count = member_array(session, "writers", &writers);

	printf("\n%-20s %8s %8s %8s %14s %14s %10s\n", "WRITER", "RING", "USED", "HIGH", "RECORDED",
	       "AGGREGATED", "DROPPED");
	for (size_t i = 0; i < count; i++) {
		const msgpack_object *dropped = member(&writers[i], "dropped");
		char name[64];

		printf("%-20.20s %8.0f %8.0f %8.0f %14.0f %14.0f %10.0f\n",
		       member_text(&writers[i], "name", name, sizeof name),
		       member_real(&writers[i], "capacity", 0), member_real(&writers[i], "used", 0),
		       member_real(&writers[i], "high_water", 0),
		       member_real(&writers[i], "recorded", 0),
		       member_real(&writers[i], "aggregated", 0),
		       member_real(dropped, "full", 0) + member_real(dropped, "head", 0));
	}
}

static void print_timer(const msgpack_object *metric, const char *name, const char *unit)
{
	const msgpack_object *quantiles = member(metric, "quantiles");
	const msgpack_object *target = member(metric, "target");
	const msgpack_object *period = member(metric, "period");
	char f[7][FORMAT_SIZE];

	printf("%-20.20s %8s %8s %8s %8s %8s %8s %8s\n", name,
	       format_count(f[0], member_real(metric, "count", NAN)),
	       format_value(f[1], member_real(metric, "mean", NAN), unit),
	       format_value(f[2], member_real(metric, "std", NAN), unit),
	       format_value(f[3], member_real(quantiles, "p50", NAN), unit),
	       format_value(f[4], member_real(quantiles, "p95", NAN), unit),
	       format_value(f[5], member_real(quantiles, "p99", NAN), unit),
	       format_value(f[6], member_real(metric, "max", NAN), unit));
	if (target != NULL) {
		int met = member_bool(target, "met");

		printf("    target p%g <= %s: %s, %.0f violations (%s)\n",
		       member_real(target, "quantile", NAN) * 100,
		       format_value(f[0], member_real(target, "value", NAN), unit),
		       met < 0   ? "no samples"
		       : met > 0 ? "met"
				 : "MISSED",
		       member_real(target, "violations", 0),
		       format_percent(f[1], member_real(target, "violation_ratio", NAN)));
	}
	if (period != NULL)
		printf("    period %s: quantum %.0f at %.0f Hz, W/Q %s, B/Q %s, %.0f misses "
		       "(%.0f in a row), %.0f xruns\n",
		       format_duration(f[0], member_real(period, "period_ns", NAN)),
		       member_real(period, "quantum", 0), member_real(period, "rate_hz", 0),
		       format_percent(f[1], member_real(period, "wait_ratio", NAN)),
		       format_percent(f[2], member_real(period, "busy_ratio", NAN)),
		       member_real(period, "misses", 0), member_real(period, "miss_run_max", 0),
		       member_real(period, "xruns", 0));
}

static void print_metrics(const msgpack_object *session)
{
	const msgpack_object *metrics = NULL;
	size_t count = member_array(session, "metrics", &metrics);

	printf("\n%-20s %8s %8s %8s %8s %8s %8s %8s\n", "TIMER", "COUNT", "MEAN", "STD", "P50",
	       "P95", "P99", "MAX");
	for (size_t i = 0; i < count; i++) {
		char name[64], unit[16], kind[16];

		member_text(&metrics[i], "name", name, sizeof name);
		member_text(&metrics[i], "unit", unit, sizeof unit);
		if (strcmp(member_text(&metrics[i], "kind", kind, sizeof kind), "timer") == 0)
			print_timer(&metrics[i], name, unit);
	}
	printf("\n%-20s %-9s %s\n", "VALUE", "KIND", "NOW");
	for (size_t i = 0; i < count; i++) {
		char name[64], unit[16], kind[16], text[96];
		const msgpack_object *value = member(&metrics[i], "value");

		if (strcmp(member_text(&metrics[i], "kind", kind, sizeof kind), "timer") == 0)
			continue;
		printf("%-20.20s %-9s ", member_text(&metrics[i], "name", name, sizeof name), kind);
		if (value != NULL && value->type == MSGPACK_OBJECT_STR)
			puts(member_text(&metrics[i], "value", text, sizeof text));
		else if (value != NULL)
			printf("%.10g %s\n", member_real(&metrics[i], "value", NAN),
			       member_text(&metrics[i], "unit", unit, sizeof unit));
		else
			puts("-");
	}
}

static void print_derived(const msgpack_object *session)
{
	const msgpack_object *derived = NULL;
	size_t count = member_array(session, "derived", &derived);

	for (size_t i = 0; i < count; i++) {
		char name[64];
		double value = member_real(&derived[i], "value", NAN);

		printf("%-20.20s %-9s ", member_text(&derived[i], "name", name, sizeof name),
		       "derived");
		isnan(value) ? puts("-") : printf("%.6g\n", value);
	}
}

static int print_session(const struct document *document, const char *wanted, bool json)
{
	const msgpack_object *session = session_find(document, wanted);

	if (session == NULL)
		return EXIT_FAILURE;
	if (json) {
		json_print(stdout, session, 2);
		putchar('\n');
		return 0;
	}
	print_head(session);
	print_writers(session);
	print_metrics(session);
	print_derived(session);
	return 0;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct shmbus_snapshot_reader *reader;
	struct document document;
	bool json = false;
	const char *bus;
	int error, status = options_parse(command, argc, argv, "", table, take, &json, &bus);

	if (status >= 0)
		return status;
	status = reader_open(bus, &reader);
	if (status != 0)
		return status;
	error = document_read(&document, reader);
	if (error != 0) {
		read_failed(error, bus);
		status = EXIT_FAILURE;
	} else {
		status = print_session(&document, argv[optind], json);
		document_free(&document);
	}
	shmbus_snapshot_close(reader);
	return status;
}

const struct command command_show = {"show", "show one session", help, run, 1};

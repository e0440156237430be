/* SPDX-License-Identifier: MIT */
/* show.c - shmbus show: all of one session, for people. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "find.h"
#include "format.h"
#include "json.h"
#include "options.h"
#include "table.h"

static const char help[] =
	"Usage: shmbus show [--json] [--bus NAME] SESSION\n\n"
	"Shows one session: its labels, writers, metrics and derived values. SESSION is\n"
	"its id, the beginning of its id, or the name of its segment; of several sessions\n"
	"of one id the newest is shown.\n\n"
	"  RING     samples that a writer's ring holds; USED: now; HIGH: the most ever\n"
	"  COUNT    samples ever; MEAN, STD, P50, P95, P99, MAX: of all of them\n"
	"  W/Q, B/Q waiting and working time as parts of the period\n\n"
	"  --json   the session's part of the snapshot\n\n"
	"Example:\n"
	"  shmbus show studio\n";

static const struct option own_options[] = {{"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};

static bool take(int option, const char *value, void *data)
{
	(void)option, (void)value;
	*(bool *)data = true;
	return true;
}

static void print_labels(const msgpack_object *session)
{
	const msgpack_object *labels = member(session, "labels");
	char key[64], text[128];

	if (labels == NULL || labels->type != MSGPACK_OBJECT_MAP)
		return;
	for (uint32_t i = 0; i < labels->via.map.size; i++) {
		const msgpack_object *name = &labels->via.map.ptr[i].key;
		const msgpack_object *value = &labels->via.map.ptr[i].val;

		if (name->type == MSGPACK_OBJECT_STR && value->type == MSGPACK_OBJECT_STR)
			printf("label    %s=%s\n",
			       text_clean(name->via.str.ptr, name->via.str.size, key, sizeof key),
			       text_clean(value->via.str.ptr, value->via.str.size, text,
					  sizeof text));
	}
}

static void print_times(const msgpack_object *session, uint64_t now_ns)
{
	uint64_t start = member_u64(session, "start_time_unix_ns", now_ns);
	uint64_t end = member_u64(session, "end_time_unix_ns", 0);
	time_t seconds = (time_t)(start / 1000000000u);
	char when[40] = "?", a[FORMAT_SIZE], b[FORMAT_SIZE];
	struct tm local;

	if (localtime_r(&seconds, &local) != NULL)
		strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S %z", &local);
	printf("started  %s, %s ago", when,
	       format_duration(a, now_ns > start ? (double)(now_ns - start) : 0));
	if (end > start)
		printf(", ran %s", format_duration(b, (double)(end - start)));
	printf("; last sign of life %s ago\n",
	       format_duration(a, member_real(session, "age_ns", NAN)));
}

static void print_head(const msgpack_object *session, uint64_t now_ns)
{
	const msgpack_object *memory = member(session, "memory");
	char text[128], a[FORMAT_SIZE], b[FORMAT_SIZE];
	double overflow = member_real(session, "overflow_total", 0);

	printf("session  %s", member_text(session, "id", text, sizeof text));
	printf(" (%s)\n", member_text(session, "state", text, sizeof text));
	if (*member_text(session, "reason", text, sizeof text) != '\0')
		printf("reason   %s\n", text);
	printf("service  %s", member_text(session, "service", text, sizeof text));
	printf(", pid %.0f, uid %.0f\n", member_real(session, "pid", 0),
	       member_real(session, "uid", 0));
	printf("segment  %s\n", member_text(session, "segment", text, sizeof text));
	print_times(session, now_ns);
	if (member(session, "cpu_ratio") != NULL)
		printf("process  cpu %s of a core, %s resident\n",
		       format_percent(a, member_real(session, "cpu_ratio", NAN)),
		       format_bytes(b, member_real(memory, "process_rss_bytes", NAN)));
	printf("memory   %s shared, %s in the agent\n",
	       format_bytes(a, member_real(memory, "shm_bytes", NAN)),
	       format_bytes(b, member_real(memory, "agent_bytes", NAN)));
	printf("samples  %.0f aggregated, %.0f dropped\n",
	       member_real(session, "aggregated_total", 0),
	       member_real(session, "dropped_total", 0));
	if (overflow > 0)
		printf("         %.0f of metrics beyond the session's limit\n", overflow);
	print_labels(session);
}

static void print_writers(const msgpack_object *session)
{
	static const char *const titles[] = {"~WRITER",   ">RING",       ">USED",   ">HIGH",
					     ">RECORDED", ">AGGREGATED", ">DROPPED"};
	static const char *const numbers[] = {"capacity", "used", "high_water", "recorded",
					      "aggregated"};
	const msgpack_object *writers = NULL;
	size_t count = member_array(session, "writers", &writers);
	struct table table;

	if (count == 0)
		return;
	putchar('\n');
	table_begin(&table, titles, 7);
	for (size_t i = 0; i < count; i++) {
		const msgpack_object *dropped = member(&writers[i], "dropped");
		char name[64];

		table_cell(&table, "%s", member_text(&writers[i], "name", name, sizeof name));
		for (size_t n = 0; n < sizeof numbers / sizeof numbers[0]; n++)
			table_cell(&table, "%.0f", member_real(&writers[i], numbers[n], 0));
		table_cell(&table, "%.0f",
			   member_real(dropped, "full", 0) + member_real(dropped, "head", 0));
	}
	table_end(&table);
}

static void note_target(struct table *table, const msgpack_object *target, const char *unit)
{
	char a[FORMAT_SIZE], b[FORMAT_SIZE];
	int met = member_bool(target, "met");

	table_note(table, "  target p%g <= %s: %s, %.0f above (%s)",
		   member_real(target, "quantile", NAN) * 100,
		   format_value(a, member_real(target, "value", NAN), unit),
		   met < 0   ? "no samples"
		   : met > 0 ? "met"
			     : "MISSED",
		   member_real(target, "violations", 0),
		   format_percent(b, member_real(target, "violation_ratio", NAN)));
}

static void note_period(struct table *table, const msgpack_object *period)
{
	char cycle[96] = "", xruns[48] = "", a[FORMAT_SIZE], b[FORMAT_SIZE], c[FORMAT_SIZE];

	if (member(period, "quantum") != NULL)
		snprintf(cycle, sizeof cycle, " (%.0f at %.0f Hz): W/Q %s,",
			 member_real(period, "quantum", 0), member_real(period, "rate_hz", 0),
			 format_percent(b, member_real(period, "wait_ratio", NAN)));
	if (member(period, "xruns") != NULL)
		snprintf(xruns, sizeof xruns, ", xruns %.0f", member_real(period, "xruns", 0));
	table_note(table, "  period %s%s B/Q %s, missed %.0f, at most %.0f in a row%s",
		   format_duration(a, member_real(period, "period_ns", NAN)),
		   cycle[0] != '\0' ? cycle : ":",
		   format_percent(c, member_real(period, "busy_ratio", NAN)),
		   member_real(period, "misses", 0), member_real(period, "miss_run_max", 0), xruns);
}

static void timer_row(struct table *table, const msgpack_object *metric)
{
	static const char *const quantiles[] = {"p50", "p95", "p99"};
	char name[64], unit[16], shown[16], f[FORMAT_SIZE];

	member_text(metric, "name", name, sizeof name);
	member_text(metric, "unit", unit, sizeof unit);
	if (*format_unit(shown, unit) != '\0')
		table_cell(table, "%s (%s)", name, shown);
	else
		table_cell(table, "%s", name);
	table_cell(table, "%s", format_count(f, member_real(metric, "count", NAN)));
	table_cell(table, "%s", format_value(f, member_real(metric, "mean", NAN), unit));
	table_cell(table, "%s", format_value(f, member_real(metric, "std", NAN), unit));
	for (int i = 0; i < 3; i++)
		table_cell(table, "%s",
			   format_value(f,
					member_real(member(metric, "quantiles"), quantiles[i], NAN),
					unit));
	table_cell(table, "%s", format_value(f, member_real(metric, "max", NAN), unit));
	if (member(metric, "target") != NULL)
		note_target(table, member(metric, "target"), unit);
	if (member(metric, "period") != NULL)
		note_period(table, member(metric, "period"));
}

static void print_timers(const msgpack_object *session)
{
	static const char *const titles[] = {"~TIMER", ">COUNT", ">MEAN", ">STD",
					     ">P50",   ">P95",   ">P99",  ">MAX"};
	const msgpack_object *metrics = NULL;
	size_t count = member_array(session, "metrics", &metrics);
	struct table table;

	table_begin(&table, titles, 8);
	for (size_t i = 0; i < count; i++)
		if (metric_is_timer(&metrics[i]))
			timer_row(&table, &metrics[i]);
	if (table.count == 0)
		return;
	putchar('\n');
	table_end(&table);
}

/* All digits: what is counted here may be compared with another account. */
static void value_cell(struct table *table, const msgpack_object *metric)
{
	const msgpack_object *value = member(metric, "value");
	char unit[16], text[96];

	member_text(metric, "unit", unit, sizeof unit);
	if (strcmp(unit, "By") == 0 || strcmp(unit, "1") == 0)
		unit[1] = '\0', unit[0] = unit[0] == '1' ? '\0' : 'B';
	else if (unit[0] == '{')
		format_unit(unit, unit);
	if (value == NULL)
		table_cell(table, "-");
	else if (value->type == MSGPACK_OBJECT_STR)
		table_cell(table, "%s", member_text(metric, "value", text, sizeof text));
	else if (value->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
		table_cell(table, "%" PRIu64 " %s", value->via.u64, unit);
	else if (value->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
		table_cell(table, "%" PRId64 " %s", value->via.i64, unit);
	else
		table_cell(table, "%.10g %s", member_real(metric, "value", NAN), unit);
}

static void print_values(const msgpack_object *session)
{
	static const char *const titles[] = {"~VALUE", "KIND", "NOW"};
	const msgpack_object *metrics = NULL, *derived = NULL;
	size_t count = member_array(session, "metrics", &metrics);
	size_t derived_count = member_array(session, "derived", &derived);
	char name[64], kind[16];
	struct table table;

	table_begin(&table, titles, 3);
	for (size_t i = 0; i < count; i++) {
		if (metric_is_timer(&metrics[i]))
			continue;
		table_cell(&table, "%s", member_text(&metrics[i], "name", name, sizeof name));
		table_cell(&table, "%s", member_text(&metrics[i], "kind", kind, sizeof kind));
		value_cell(&table, &metrics[i]);
	}
	for (size_t i = 0; i < derived_count; i++) {
		double value = member_real(&derived[i], "value", NAN);

		table_cell(&table, "%s", member_text(&derived[i], "name", name, sizeof name));
		table_cell(&table, "derived");
		if (isnan(value))
			table_cell(&table, "-");
		else
			table_cell(&table, "%.6g", value);
	}
	if (table.count == 0)
		return;
	putchar('\n');
	table_end(&table);
}

static int print_session(const struct document *document, const char *wanted, bool json)
{
	const msgpack_object *session = session_or_say(document, wanted);

	if (session == NULL)
		return EXIT_FAILURE;
	if (json) {
		json_print(stdout, session, 2);
		putchar('\n');
		return 0;
	}
	print_head(session, member_u64(&document->root, "time_unix_ns", 0));
	print_writers(session);
	print_timers(session);
	print_values(session);
	return 0;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct newest newest;
	bool json = false;
	const char *bus;
	int status = options_parse(command, argc, argv, "", own_options, take, &json, &bus);

	if (status >= 0)
		return status;
	status = newest_open(&newest, bus, 0);
	if (status != 0)
		return status;
	status = print_session(&newest.document, argv[optind], json);
	newest_close(&newest);
	return status;
}

const struct command command_show = {"show", "show one session", help, run, "SESSION"};

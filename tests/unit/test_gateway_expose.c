/* SPDX-License-Identifier: MIT */
/* What /metrics says of a document, in each format. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "expose_names.h"
#include "json_document.h"
#include "metrics.pb-c.h"

#define ENVELOPE "{'schema':1,'bus':'b','seq':7,'time_unix_ns':1700000000250000000,"
#define AGENT                                                                                      \
	"'interval_ns':1000000000,'agent':{'version':'0.1.0','cpu_ratio':0.5,'drain_lag_ns':20,"   \
	"'samples_total':9223372036854775807,'rejected':{'owner':3}},"
/* 1, 3 x 1000 ns (bucket 319, up to 1001.6 ns), 5000 ns. */
#define TIMER                                                                                      \
	"{'name':'decode.time','kind':'timer','unit':'ns','stage':'decode','help':'A \\\\ and "    \
	"\\n.','count':6,'sum':8001,'min':0,'max':5000,'histogram':{'schema':5,'zero_count':1,"    \
	"'offset':0,'buckets':[1%s,3%s,1]},'target':{'value':2000,'quantile':0.99,"                \
	"'violations':1,'met':false,'worst':{'value':5000,'time_unix_ns':1700000000100000000,"     \
	"'correlation_id':42}},'period':{'misses':2,'miss_run_max':1}}"

static struct json_document document;
static struct body body;

static void finish(void)
{
	body_free(&body);
}

TestSuite(expose, .fini = finish);

/* Zeros that stand between the buckets of TIMER. */
static const char *zeros(size_t count)
{
	static char texts[2][2048];
	static int turn;
	char *text = texts[turn ^= 1], *at = text;

	*at = '\0';
	for (size_t i = 0; i < count; i++)
		at = stpcpy(at, ",0");
	return text;
}

static const char *timer(void)
{
	static char text[8192];

	/* 1000 ns: bucket 319; 5000 ns: 394. */
	snprintf(text, sizeof text, TIMER, zeros(318), zeros(74));
	return text;
}

static void show(enum expose_format format, enum feed_state state,
		 const struct expose_options *options)
{
	struct exposition exposition = {"b", state, &document.document};

	body.size = 0;
	expose_exposition(&body, format, &exposition, options);
	if (format != EXPOSE_PROTOBUF) {
		body_bytes(&body, "", 1);
		body.size--;
	}
	cr_assert(!body.failed);
}

static const struct expose_options merged = {.series_max = 10000};
static const struct expose_options sessions = {.series_max = 10000, .sessions = true};

static void has_line(const char *line)
{
	char wanted[512];

	snprintf(wanted, sizeof wanted, "\n%s\n", line);
	cr_expect(strstr(body.data, wanted) != NULL, "no line %s in\n%s", line, body.data);
}

static void has_not(const char *text)
{
	cr_expect(strstr(body.data, text) == NULL, "%s in\n%s", text, body.data);
}

/* ---- formats ---- */

Test(expose, negotiation)
{
	static const struct {
		const char *accept;
		enum expose_format format;
	} cases[] = {
		{NULL, EXPOSE_TEXT},
		{"", EXPOSE_TEXT},
		{"*/*", EXPOSE_TEXT},
		{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", EXPOSE_TEXT},
		{"image/png", EXPOSE_TEXT},
		{"application/json", EXPOSE_JSON},
		{"Application/JSON; charset=utf-8", EXPOSE_JSON},
		{"application/json, */*", EXPOSE_JSON},
		{"application/json, text/plain, */*", EXPOSE_TEXT},
		{"application/json;q=0.9, text/plain;q=0.8", EXPOSE_JSON},
		{"application/json;q=0, */*;q=0.1", EXPOSE_TEXT},
		{"text/plain;q=0, */*", EXPOSE_JSON},
		{"application/*", EXPOSE_JSON},
		/* Prometheus 2.42, without and with native histograms; Prometheus 3 */
		{"application/openmetrics-text;version=1.0.0,"
		 "application/openmetrics-text;version=0.0.1;q=0.75,"
		 "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
		 EXPOSE_OPENMETRICS},
		{"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
		 "encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,"
		 "application/openmetrics-text;version=0.0.1;q=0.75,"
		 "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
		 EXPOSE_PROTOBUF},
		{"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
		 "application/openmetrics-text;version=0.0.1;q=0.5,"
		 "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
		 "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
		 EXPOSE_OPENMETRICS},
		{"application/vnd.google.protobuf;proto=another.Message;encoding=delimited",
		 EXPOSE_TEXT},
		{"application/vnd.google.protobuf;encoding=text, text/plain;q=0.1", EXPOSE_TEXT},
		{"application/openmetrics-text;version=\"1.0.0\"", EXPOSE_OPENMETRICS},
		{"application/openmetrics-text;version=2.0.0, application/json;q=0.1", EXPOSE_JSON},
		{",,; ;q=,=/;;\",", EXPOSE_TEXT},
		{"application/json;q=nan", EXPOSE_TEXT},
		{"application/json;q=7", EXPOSE_TEXT},
	};
	char huge[9000];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		cr_expect_eq(expose_negotiate(cases[i].accept), cases[i].format, "%s",
			     cases[i].accept);
	memset(huge, 'x', sizeof huge);
	strcpy(huge + sizeof huge - 20, ",application/json");
	cr_expect_eq(expose_negotiate(huge), EXPOSE_JSON);
}

/* ---- units and names ---- */

Test(expose, units)
{
	static const struct {
		const char *ucum, *name;
		double factor;
	} cases[] = {
		{"ns", "seconds", 1e-9},
		{"ms", "seconds", 1e-3},
		{"By", "bytes", 1},
		{"KiBy", "bytes", 1024},
		{"1", "", 1},
		{"", "", 1},
		{"%", "ratio", 0.01},
		{"{frame}", "", 1},
		{"{frame}/s", "per_second", 1},
		{"By/s", "bytes_per_second", 1},
		{"By/ms", "bytes_per_second", 1000},
		{"1/min", "per_second", 1 / 60.0},
		{"Cel", "celsius", 1},
		{"furlong", "furlong", 1},
		{"a.b\xc3\xa9/c d", "a_b_per_c_d", 1},
		{"{", "", 1},
		{"/", "", 1},
		{"{{}}", "", 1},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct unit unit;

		unit_of(cases[i].ucum, &unit);
		if (strcmp(cases[i].ucum, "{{}}") != 0)
			cr_expect_str_eq(unit.name, cases[i].name, "%s: %s", cases[i].ucum,
					 unit.name);
		cr_expect_float_eq(unit.factor, cases[i].factor, cases[i].factor * 1e-12, "%s",
				   cases[i].ucum);
	}
}

static const char *name_of(struct names *names, const char *kind, const char *name,
			   const char *unit)
{
	static struct json_document metric;
	uint32_t number;

	json_document_make(&metric, "{'name':'%s','kind':'%s','unit':'%s'}", name, kind, unit);
	number = names_of(names, &metric.document.root, metric_kind_of(&metric.document.root));
	json_document_free(&metric);
	cr_assert_neq(number, TEXTS_NONE);
	return names->all[number].name;
}

Test(expose, names)
{
	static const struct {
		const char *kind, *name, *unit, *family;
	} cases[] = {
		{"timer", "decode.time", "ns", "shmbus_decode_time_seconds"},
		{"timer", "decode_ns", "ns", "shmbus_decode_seconds"},
		{"timer", "wait_seconds", "ns", "shmbus_wait_seconds"},
		{"counter", "frames", "{frame}", "shmbus_frames"},
		{"counter", "packets_total", "1", "shmbus_packets"},
		{"counter", "bytes.total", "By", "shmbus_bytes"},
		{"gauge", "depth..of--it", "1", "shmbus_depth_of_it"},
		{"gauge", "9 lives\xc3\xa9", "1", "shmbus_9_lives"},
		{"gauge", "x_total_count_sum", "1", "shmbus_x"},
		{"gauge", "total", "1", "shmbus_metric"},
		{"info", "build.info", "", "shmbus_build"},
		{"gauge", "load", "total", "shmbus_load"},
		{"gauge", "speed", "furlong/fortnight", "shmbus_speed_furlong_per_fortnight"},
	};
	struct names names = {.merged = false};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		cr_expect_str_eq(name_of(&names, cases[i].kind, cases[i].name, cases[i].unit),
				 cases[i].family);
	names_free(&names);
}

/* The first has the name; another one is called the same, whenever and wherever it is second. */
Test(expose, names_that_collide)
{
	struct names one = {.merged = false}, other = {.merged = false};
	char second[FAMILY_NAME_SIZE];

	cr_expect_str_eq(name_of(&one, "timer", "a.b", "ns"), "shmbus_a_b_seconds");
	snprintf(second, sizeof second, "%s", name_of(&one, "timer", "a-b", "ns"));
	cr_expect_str_eq(name_of(&one, "timer", "a.b", "ns"), "shmbus_a_b_seconds");
	cr_expect_str_neq(second, "shmbus_a_b_seconds");
	cr_expect(strncmp(second, "shmbus_a_b_", 11) == 0 &&
			  strcmp(second + strlen(second) - 8, "_seconds") == 0,
		  "%s", second);
	cr_expect_str_eq(name_of(&other, "timer", "a_b", "ns"), "shmbus_a_b_seconds");
	cr_expect_str_eq(name_of(&other, "timer", "a-b", "ns"), second);
	/* Another kind or unit is another metric. */
	cr_expect_str_eq(name_of(&one, "timer", "a.b", "By"), "shmbus_a_b_bytes");
	cr_expect_str_neq(name_of(&one, "gauge", "a.b", "ns"), "shmbus_a_b_seconds");
	cr_expect_str_neq(name_of(&one, "timer", "a.b", "ms"), "shmbus_a_b_seconds");
	names_free(&one);
	names_free(&other);
}

/* ---- text ---- */

Test(expose, text)
{
	json_document_make(
		&document,
		ENVELOPE AGENT
		"'totals':{'dropped_total':5,'metrics':[%s,{'name':'done','kind':"
		"'counter','unit':'1','value':9223372036854775807},{'name':'level',"
		"'kind':'gauge','unit':'%%','value':50.5},{'name':'open','kind':'updown',"
		"'unit':'1','value':-3},{'name':'mode','kind':'stateset','unit':'',"
		"'states':{'a':2,'b':0}},{'name':'build','kind':'info','unit':'',"
		"'value':'x\\\"y'},{'name':'unset','kind':'gauge','unit':'1'}]},"
		"'sessions':[{'id':'s','state':'running','derived':[{'name':'d','value':"
		"2}]},{'id':'t','state':'stale','derived':[{'name':'d','value':4},{'name':"
		"'none'}]},{'id':'u','state':'ended','derived':[{'name':'d','value':9}]}]}",
		timer());
	show(EXPOSE_TEXT, FEED_LIVE, &merged);
	has_line("shmbus_up{bus=\"b\"} 1");
	has_line("shmbus_snapshot_timestamp_seconds 1700000000.25");
	has_line("# HELP shmbus_decode_time_seconds A \\\\ and ?.");
	has_line("# TYPE shmbus_decode_time_seconds histogram");
	has_line("shmbus_decode_time_seconds_bucket{stage=\"decode\",le=\"1.024e-06\"} 5");
	has_line("shmbus_decode_time_seconds_bucket{stage=\"decode\",le=\"4.096e-06\"} 5");
	has_line("shmbus_decode_time_seconds_bucket{stage=\"decode\",le=\"8.192e-06\"} 6");
	has_line("shmbus_decode_time_seconds_bucket{stage=\"decode\",le=\"68.719476736\"} 6");
	has_line("shmbus_decode_time_seconds_bucket{stage=\"decode\",le=\"+Inf\"} 6");
	has_line("shmbus_decode_time_seconds_sum{stage=\"decode\"} 8.001e-06");
	has_line("shmbus_decode_time_seconds_count{stage=\"decode\"} 6");
	has_line("# TYPE shmbus_done_total counter");
	has_line("shmbus_done_total 9223372036854775807");
	has_line("shmbus_samples_total 9223372036854775807");
	has_line("shmbus_level_ratio 0.505");
	has_line("shmbus_open -3");
	has_line("shmbus_mode_sessions{state=\"a\"} 2");
	has_line("shmbus_mode_sessions{state=\"b\"} 0");
	has_line("# TYPE shmbus_build_info gauge");
	has_line("shmbus_build_info{value=\"x\\\"y\"} 1");
	has_line("shmbus_d{of_sessions=\"min\"} 2");
	has_line("shmbus_d{of_sessions=\"mean\"} 3");
	has_line("shmbus_d{of_sessions=\"max\"} 4");
	has_line("shmbus_target_violations_total{metric=\"decode_time_seconds\",stage=\"decode\"} "
		 "1");
	has_line("shmbus_target_met{metric=\"decode_time_seconds\",stage=\"decode\"} 0");
	has_line("shmbus_target_limit{metric=\"decode_time_seconds\",stage=\"decode\"} 2e-06");
	has_line("shmbus_deadline_misses_total{metric=\"decode_time_seconds\",stage=\"decode\"} 2");
	has_line("shmbus_rejected_segments_total{reason=\"owner\"} 3");
	has_line("shmbus_rejected_segments_total{reason=\"fault\"} 0");
	has_line("shmbus_sessions{state=\"stale\"} 1");
	has_line("shmbus_dropped_samples_total 5");
	has_not("unset");
	has_not("correlation_id");
	has_not("# UNIT");
	has_not("# EOF");
	has_not("none");
	json_document_free(&document);
}

Test(expose, openmetrics)
{
	json_document_make(
		&document,
		ENVELOPE AGENT
		"'totals':{'metrics':[%s]},'sessions':[{'id':'s','service':'p',"
		"'incarnation':9,'state':'running','labels':{'a b':'c','a.b':'d'},"
		"'metrics':[%s,{'name':'mode','kind':'stateset','unit':'','value':'b',"
		"'states':['a','b','a']},{'name':'n','kind':'counter','unit':'1','value':"
		"4}]}]}",
		timer(), timer());
	show(EXPOSE_OPENMETRICS, FEED_LIVE, &sessions);
	cr_expect_str_eq(body.data + body.size - 7, "\n# EOF\n");
	has_line("# UNIT shmbus_decode_time_seconds seconds");
	has_line("shmbus_decode_time_seconds_bucket{session=\"s\",service=\"p\",incarnation=\"9\","
		 "stage=\"decode\",le=\"1.6384e-05\"} 6 # {correlation_id=\"42\"} 5e-06 "
		 "1700000000.100");
	has_line("# TYPE shmbus_mode stateset");
	has_line("shmbus_mode{session=\"s\",service=\"p\",incarnation=\"9\",shmbus_mode=\"a\"} 0");
	has_line("shmbus_mode{session=\"s\",service=\"p\",incarnation=\"9\",shmbus_mode=\"b\"} 1");
	has_line("# TYPE shmbus_n counter");
	has_line("shmbus_n_total{session=\"s\",service=\"p\",incarnation=\"9\"} 4");
	has_line("# TYPE target info");
	has_line("# TYPE shmbus_session info");
	has_line("shmbus_session_info{session=\"s\",service=\"p\",incarnation=\"9\","
		 "label_a_b=\"c\"} 1");
	json_document_free(&document);
}

/* A snapshot that is not believed any more says nothing but when it was. */
Test(expose, stale)
{
	static const enum feed_state states[] = {FEED_WAITING, FEED_STALE, FEED_BROKEN};

	json_document_make(&document,
			   ENVELOPE AGENT "'totals':{'dropped_total':5,'metrics':[%s]},'sessions':"
					  "[{'id':'s','state':'running'}]}",
			   timer());
	for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
		show(EXPOSE_TEXT, states[i], &sessions);
		has_line("shmbus_up{bus=\"b\"} 0");
		has_not("decode");
		has_not("dropped");
		has_not("shmbus_agent");
		has_not("session=");
		show(EXPOSE_JSON, states[i], &sessions);
		has_not("totals");
		has_not("sessions");
		cr_expect(strstr(body.data, feed_state_name(states[i])) != NULL);
	}
	json_document_free(&document);
}

/* As many sessions as fit, those that run first, each whole; the rest is counted. */
Test(expose, too_many)
{
	struct expose_options options = {.series_max = 40, .sessions = true};

	json_document_make(
		&document, ENVELOPE AGENT
		"'totals':{},'sessions':[{'id':'over','state':'ended','metrics':[{'name':"
		"'n','kind':'counter','unit':'1','value':1}]},{'id':'one','state':"
		"'running','metrics':[{'name':'n','kind':'counter','unit':'1','value':"
		"1}]},{'id':'two','state':'stale','metrics':[{'name':'n','kind':"
		"'counter','unit':'1','value':1}]},{'id':'two','state':'stale'}]}");
	show(EXPOSE_TEXT, FEED_LIVE, &options);
	has_not("session=\"over\"");
	has_line("shmbus_n_total{session=\"one\",incarnation=\"0\"} 1");
	has_line("shmbus_n_total{session=\"two\",incarnation=\"0\"} 1");
	has_line("shmbus_overflow_series 16");
	has_line("shmbus_overflow_sessions 2"); /* the last one is no other session */
	options.series_max = 3;
	options.sessions = false;
	show(EXPOSE_TEXT, FEED_LIVE, &options);
	has_not("shmbus_n_total");
	json_document_free(&document);
}

Test(expose, json)
{
	json_error_t error;
	json_t *root;

	json_document_make(&document,
			   ENVELOPE AGENT "'totals':{'metrics':[%s]},'sessions':[{'id':'s',"
					  "'labels':{'histogram':'kept'},'metrics':[%s]}]}",
			   timer(), timer());
	show(EXPOSE_JSON, FEED_LIVE, &sessions);
	has_not("buckets");
	root = json_loads(body.data, 0, &error);
	cr_assert_not_null(root, "%s", error.text);
	cr_expect_str_eq(json_string_value(json_object_get(root, "service")), "shmbus-gateway");
	cr_expect_str_eq(json_string_value(json_object_get(root, "timestamp")),
			 "2023-11-14T22:13:20.250Z");
	cr_expect_eq(
		json_integer_value(json_object_get(
			json_array_get(json_object_get(json_object_get(root, "totals"), "metrics"),
				       0),
			"sum")),
		8001);
	cr_expect(strstr(body.data, "\"labels\":{\"histogram\":\"kept\"}") != NULL);
	json_decref(root);
	show(EXPOSE_JSON, FEED_LIVE, &merged);
	has_not("\"sessions\"");
	json_document_free(&document);
}

/* ---- protobuf ---- */

#define FAMILY Io__Prometheus__Client__MetricFamily
#define HISTOGRAM Io__Prometheus__Client__Histogram

/* Calls for each family; returns how many there are. */
static size_t families(void (*call)(const FAMILY *family))
{
	const uint8_t *at = (const uint8_t *)body.data, *end = at + body.size;
	size_t count = 0;

	for (; at < end; count++) {
		FAMILY *family;
		size_t size = 0;
		int shift = 0;

		do
			size |= (size_t)(*at & 0x7f) << shift, shift += 7;
		while ((*at++ & 0x80) != 0);
		cr_assert_leq(size, (size_t)(end - at));
		family = io__prometheus__client__metric_family__unpack(NULL, size, at);
		cr_assert_not_null(family);
		if (call != NULL)
			call(family);
		io__prometheus__client__metric_family__free_unpacked(family, NULL);
		at += size;
	}
	return count;
}

/* The count of a native bucket. */
static uint64_t native(const HISTOGRAM *histogram, int64_t wanted)
{
	int64_t index = 0, count = 0, found = 0;
	size_t delta = 0;

	for (size_t i = 0; i < histogram->n_positive_span; i++) {
		index += histogram->positive_span[i]->offset;
		for (uint32_t j = 0; j < histogram->positive_span[i]->length; j++, index++) {
			cr_assert_lt(delta, histogram->n_positive_delta);
			count += histogram->positive_delta[delta++];
			found = index == wanted ? count : found;
		}
	}
	cr_assert_eq(delta, histogram->n_positive_delta);
	return (uint64_t)found;
}

static void protobuf_family(const FAMILY *family)
{
	const HISTOGRAM *histogram = family->metric[0]->histogram;

	cr_assert_geq(family->n_metric, 1);
	if (strcmp(family->name, "shmbus_samples_total") == 0)
		cr_expect_eq(family->metric[0]->counter->value, 0x1p63);
	if (strcmp(family->name, "shmbus_decode_time_seconds") != 0)
		return;
	cr_expect_str_eq(family->unit, "seconds");
	cr_expect_eq(family->type, IO__PROMETHEUS__CLIENT__METRIC_TYPE__HISTOGRAM);
	cr_expect_str_eq(family->metric[0]->label[0]->value, "decode");
	cr_expect_eq(histogram->sample_count, 6);
	cr_expect_eq(histogram->sample_sum, 8.001e-6);
	cr_expect_eq(histogram->schema, 5);
	cr_expect_eq(histogram->zero_count, 1);
	cr_expect_gt(histogram->zero_threshold, 0);
	cr_expect_eq(histogram->n_positive_span, 3);
	cr_expect_eq(native(histogram, 0 - 957), 1);
	cr_expect_eq(native(histogram, 319 - 957), 3);
	cr_expect_eq(native(histogram, 394 - 957), 1);
	cr_expect_eq(histogram->n_exemplars, 1);
	cr_expect_eq(histogram->exemplars[0]->value, 5e-6);
	cr_expect_eq(histogram->exemplars[0]->timestamp->seconds, 1700000000);
	cr_expect_str_eq(histogram->exemplars[0]->label[0]->value, "42");
	if (histogram->n_bucket == 0)
		return;
	cr_expect_eq(histogram->n_bucket, 28);
	cr_expect_eq(histogram->bucket[27]->upper_bound, (double)INFINITY);
	cr_expect_eq(histogram->bucket[27]->cumulative_count, 6);
	cr_expect_eq(histogram->bucket[2]->cumulative_count, 5);
	cr_expect_null(histogram->bucket[2]->exemplar);
	cr_expect_not_null(histogram->bucket[3]->exemplar);
}

Test(expose, protobuf)
{
	struct expose_options options = merged;

	json_document_make(&document, ENVELOPE AGENT "'totals':{'metrics':[%s]}}", timer());
	show(EXPOSE_PROTOBUF, FEED_LIVE, &options);
	cr_expect_gt(families(protobuf_family), 10);
	options.classic = true;
	show(EXPOSE_PROTOBUF, FEED_LIVE, &options);
	families(protobuf_family);
	show(EXPOSE_PROTOBUF, FEED_STALE, &options);
	cr_expect_eq(families(NULL), 7);
	json_document_free(&document);
}

static double shifted_value;

/* The bucket in seconds that the sample is in is the right one or the one below it, and its
 * bounds are 0.62 % low. */
static void shifted_family(const FAMILY *family)
{
	const HISTOGRAM *histogram = family->metric[0]->histogram;
	double upper;

	if (histogram == NULL)
		return;
	cr_assert_eq(histogram->n_positive_span, 1);
	upper = exp2(histogram->positive_span[0]->offset / 32.0);
	cr_expect_leq(shifted_value, upper * 1.0062 * (1 + 1e-9), "%g", shifted_value);
	cr_expect_gt(shifted_value, upper / exp2(1 / 32.0) * (1 - 1e-9), "%g", shifted_value);
}

Test(expose, times_in_seconds)
{
	for (int index = 1; index < 63 * 32; index += 5) {
		/* The ends of a bucket, in ns; not those that hold no whole number. */
		uint64_t last = (uint64_t)floor(exp2(index / 32.0));
		uint64_t first = (uint64_t)floor(exp2((index - 1) / 32.0)) + 1;

		for (uint64_t value = first; value <= last;
		     value += last - first + (last == first)) {
			json_document_make(
				&document,
				ENVELOPE AGENT
				"'totals':{'metrics':[{'name':'n','kind':'timer','unit':'ns',"
				"'count':1,'sum':1,'min':%lu,'max':%lu,'histogram':{'schema':5,"
				"'zero_count':0,'offset':%d,'buckets':[1]}}]}}",
				(unsigned long)value, (unsigned long)value, index);
			show(EXPOSE_PROTOBUF, FEED_LIVE, &merged);
			shifted_value = (double)value / 1e9;
			families(shifted_family);
			json_document_free(&document);
		}
	}
}

/* ---- whatever the document is ---- */

/* Each sample's name and labels come once, each family once; texts are UTF-8. */
static void check_text(void)
{
	struct texts seen = {.count = 0};

	for (char *line = body.data, *end; *line != '\0'; line = end + 1) {
		size_t name;
		bool added;

		end = strchr(line, '\n');
		cr_assert_not_null(end);
		*end = '\0';
		if (strcmp(line, "# EOF") == 0 || strncmp(line, "# HELP ", 7) == 0)
			continue;
		name = strlen(line);
		if (line[0] != '#' && strchr(line, '{') != NULL) {
			const char *close = strstr(line, "} ");

			cr_assert_not_null(close, "%s", line);
			name = (size_t)(close - line);
		} else {
			name = line[0] != '#' ? strcspn(line, " ")
					      : 7 + strcspn(line + 7, " "); /* "# TYPE " */
		}
		line[name] = '\0';
		texts_add(&seen, line, &added);
		cr_assert(added, "twice: %s", line);
		for (const char *at = line; *at != '\0' && line[0] != '#' && *at != '{'; at++)
			cr_assert(strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					 "0123456789_",
					 *at) != NULL,
				  "%s", line);
	}
	texts_free(&seen);
}

static void show_all(void)
{
	struct expose_options options = {.series_max = 1000, .classic = true};

	for (int i = 0; i < 2; i++) {
		json_error_t error;
		json_t *root;

		options.sessions = i != 0;
		show(EXPOSE_TEXT, FEED_LIVE, &options);
		check_text();
		show(EXPOSE_OPENMETRICS, FEED_LIVE, &options);
		check_text();
		show(EXPOSE_PROTOBUF, FEED_LIVE, &options);
		families(NULL);
		show(EXPOSE_JSON, FEED_LIVE, &options);
		root = json_loads(body.data, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &error);
		/* jansson has no keys with a NUL. */
		cr_assert(root != NULL || json_error_code(&error) == json_error_null_byte_in_key,
			  "%s: %s", error.text, body.data);
		json_decref(root);
	}
}

Test(expose, hostile)
{
	static const char *const roots[] = {
		"[]",
		"7",
		"{}",
		"{'agent':1,'totals':[],'sessions':{}}",
		"{'totals':{'metrics':{}},'sessions':[1,[],{'metrics':[[],2,{}]}]}",
		"{'totals':{'metrics':[{'kind':'timer'},{'kind':'timer'},{'kind':'timer','name':"
		"7,'unit':[]},{'kind':'counter','value':-1},{'kind':'gauge','value':'x'},{'kind':"
		"'stateset','states':7},{'kind':'info','value':{}},{'kind':'nothing'}]}}",
		"{'totals':{'metrics':[{'kind':'timer','name':'n','unit':'ns','count':1,'min':0,"
		"'max':1,'histogram':{'schema':9,'offset':0,'buckets':[1]}},{'kind':'timer',"
		"'name':'m','unit':'ns','min':0,'max':1,'histogram':{'schema':0,'offset':64,"
		"'buckets':[9223372036854775807]},'sum':-7,'target':{'met':3,'worst':[]},"
		"'period':9},{'kind':'timer','name':'up','unit':'','min':0,'max':1,'histogram':"
		"{'schema':8,'offset':16384,'buckets':[9223372036854775807]}}]}}",
		"{'sessions':[{'id':'s','metrics':[{'kind':'gauge','name':'n','value':1},{'kind':"
		"'gauge','name':'n','value':2}]},{'id':'s'},{'id':'s','incarnation':1,'labels':{"
		"'':'x','session':'y','.':'z'},'writers':[{'used':1},7,{'used':2}]}]}",
		"{'totals':{'metrics':[{'kind':'gauge','name':'up','value':1},{'kind':'counter',"
		"'name':'sessions.opened','value':1},{'kind':'info','name':'agent','value':'x'},"
		"{'kind':'gauge','name':'agent_info','value':2}]}}",
	};

	for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++) {
		json_document_make(&document, "%s", roots[i]);
		show_all();
		json_document_free(&document);
	}
}

/* Whatever one byte of a rich document becomes. */
Test(expose, every_byte_changed)
{
	static const uint8_t values[] = {0x00, 0x7f, 0x80, 0x90, 0xa0, 0xc0, 0xcb, 0xff};
	msgpack_sbuffer bytes;

	json_document_make(
		&document, ENVELOPE AGENT
		"'totals':{'metrics':[{'name':'a.b','kind':'timer','unit':'ns','stage':'x','count':"
		"3,'sum':9,'min':0,'max':5,'histogram':{'schema':5,'zero_count':1,'offset':60,"
		"'buckets':[1,0,0,0,1]},'target':{'value':2,'quantile':0.99,'violations':1,'met':"
		"false,'worst':{'value':5,'time_unix_ns':17,'correlation_id':4}},'period':{"
		"'misses':2}},{'name':'a_b','kind':'gauge','unit':'1','value':2.5}]},'sessions':[{"
		"'id':'s','service':'p','incarnation':9,'state':'running','labels':{'a':'c','b':"
		"'d'},'writers':[{'id':0,'used':3,'dropped':{'full':1}}],'dropped_total':1,"
		"'metrics':[{'name':'mode','kind':'stateset','unit':'','value':'b','states':['a',"
		"'b']},{'name':'i','kind':'info','unit':'','value':'b'}],'derived':[{'name':'d',"
		"'value':2}]},{'id':'t','state':'running'}]}");
	bytes = document.bytes;
	for (size_t i = 0; i < bytes.size; i++)
		for (size_t j = 0; j < sizeof values; j++) {
			struct json_document whole = document;
			char before = bytes.data[i];

			bytes.data[i] = (char)values[j];
			if (document_decode(&document.document, (const uint8_t *)bytes.data,
					    bytes.size) == 0) {
				show_all();
				document_free(&document.document);
			}
			document = whole;
			bytes.data[i] = before;
		}
	json_document_free(&document);
}

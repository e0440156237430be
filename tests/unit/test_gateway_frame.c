/* SPDX-License-Identifier: MIT */
/* test_gateway_frame.c - frames of streams, of documents made by hand and of hostile ones. */
#include <math.h>
#include <stdio.h>

#include <criterion/criterion.h>
#include <jansson.h>

#include "frame.h"
#include "json_document.h"

static const char sample[] =
	"{'agent':{'pid':7,'cpu_ratio':0.123456789,'rejects':[{'segment':'x'}]},"
	"'totals':{'sessions_total':3,'metrics':[{'name':'w','kind':'timer','unit':'ns','count':9,"
	"'mean':5.0,'max':9,'quantiles':{'p50':4.5,'p95':8.5,'p99':8.75,'p90':1.0}}],"
	"'recent':{'sessions':1,'duration_ns':1.5}},"
	"'sessions':[{'age_ns':5,'id':'a','service':'s\\n\\u0007','segment':'/"
	"g','labels':{'k':'v'},"
	"'pid':-4,'incarnation':2,'state':'running','uid':0,'writers':[{'id':0}],"
	"'metrics':[{'name':'work','kind':'timer','unit':'ns','stage':'asr','help':'long',"
	"'count':100,'mean':50.0,'max':99,'quantiles':{'p50':40.0,'p95':80.0,'p99':90.0},"
	"'windows':{'10s':{'count':10,'rate':1.25,'mean':7.0,'max':9,'p50':6.0,'p95':8.0,'p99':8.5}"
	"},"
	"'target':{'value':90,'quantile':0.99,'violations':3,'met':false,'worst':{'value':99}},"
	"'period':{'period_ns':1000,'misses':2,'worst':{'value':3}}},"
	"{'name':'level','kind':'gauge','unit':'1','value':0.1234567},"
	"{'name':'quiet','kind':'timer','unit':'ns','count':0,"
	"'windows':{'10s':{'span_ns':1,'count':0,'rate':0.0}}}],"
	"'derived':[{'name':'d','value':500.5}],'aggregated_total':9007199254740991}]}";

/* What jansson does not hold, JSON's integers up to 2^64, is read as reals. */
static json_t *parsed(const struct body *body, const char *head)
{
	size_t length = strlen(head);
	char *whole = malloc(length + body->size + 1);
	json_error_t error;
	json_t *value;

	cr_assert_not_null(whole);
	cr_assert(!body->failed);
	cr_assert_null(memchr(body->data, '\n', body->size));
	memcpy(whole, head, length);
	memcpy(whole + length, body->data, body->size);
	whole[length + body->size] = '\0';
	value = json_loadb(whole, length + body->size, JSON_DECODE_INT_AS_REAL, &error);
	cr_assert_not_null(value, "%s at %d of %s", error.text, error.position, whole);
	free(whole);
	return value;
}

static struct frame_source source_of(struct json_document *made, const struct body *health)
{
	made->document.snapshot =
		(struct shmbus_snapshot){.seq = 5, .time_unix_ns = 1111, .interval_ns = 1000};
	return (struct frame_source){&made->document, "b\"us", "live", 42, health};
}

static json_t *bus_frame(const struct body *health)
{
	struct json_document made;
	struct frame_source source;
	struct body body = BODY_EMPTY;
	json_t *frame;

	json_document_make(&made, "%s", sample);
	source = source_of(&made, health);
	frame_bus_write(&body, &source);
	frame = parsed(&body, "{\"type\":\"bus\"");
	body_free(&body);
	json_document_free(&made);
	return frame;
}

/* ' stands for " */
static void is(json_t *value, const char *expected)
{
	char *dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
	char wanted[1024];

	snprintf(wanted, sizeof wanted, "%s", expected);
	for (char *c = wanted; *c != '\0'; c++)
		if (*c == '\'')
			*c = '"';
	cr_assert_not_null(dump, "absent: %s", expected);
	cr_assert_str_eq(dump, wanted);
	free(dump);
}

static json_t *first(json_t *holder, const char *key, size_t i)
{
	return json_array_get(json_object_get(holder, key), i);
}

Test(frame, bus)
{
	struct body health = BODY_EMPTY;
	json_t *frame, *session;

	body_text(&health, "{\"status\":\"HEALTHY\"}");
	frame = bus_frame(&health);
	session = first(frame, "sessions", 0);
	is(json_object_get(frame, "bus"), "'b\\'us'");
	is(json_object_get(frame, "age_ns"), "42.0");
	is(json_object_get(frame, "interval_ns"), "1000.0");
	is(json_object_get(frame, "agent"), "{'pid':7.0,'cpu_ratio':0.123457}");
	is(json_object_get(frame, "health"), "{'status':'HEALTHY'}");
	is(json_object_get(session, "service"), "'s\\n\\u0007'");
	is(json_object_get(session, "pid"), "-4.0");
	is(json_object_get(session, "labels"), "{'k':'v'}");
	is(json_object_get(session, "derived"), "[{'name':'d','value':500.5}]");
	is(json_object_get(session, "aggregated_total"), "9.00719925474099e15");
	cr_assert_null(json_object_get(session, "writers"));
	cr_assert_null(json_object_get(session, "uid"));
	body_free(&health);
	json_decref(frame);
}

Test(frame, metrics_of_the_last_ten_seconds_or_of_all_time)
{
	json_t *frame = bus_frame(NULL), *session = first(frame, "sessions", 0);

	is(first(session, "metrics", 0),
	   "{'name':'work','kind':'timer','unit':'ns','stage':'asr','count':100.0,'rate':1.25,"
	   "'mean':7.0,'p50':6.0,'p95':8.0,'p99':8.5,'max':9.0,"
	   "'target':{'value':90.0,'quantile':0.99,'met':false,'violations':3.0},"
	   "'period':{'period_ns':1000.0,'misses':2.0}}");
	is(first(session, "metrics", 1),
	   "{'name':'level','kind':'gauge','unit':'1','value':0.123457}");
	is(first(session, "metrics", 2),
	   "{'name':'quiet','kind':'timer','unit':'ns','count':0.0,'rate':0.0}");
	is(json_object_get(frame, "totals"),
	   "{'metrics':[{'name':'w','kind':'timer','unit':'ns','count':9.0,'mean':5.0,'p50':4.5,"
	   "'p95':8.5,'p99':8.75,'max':9.0}],'sessions_total':3.0,"
	   "'recent':{'sessions':1.0,'duration_ns':1.5}}");
	cr_assert_null(json_object_get(frame, "health"));
	json_decref(frame);
}

Test(frame, session_is_whole)
{
	struct json_document made;
	struct frame_source source;
	struct body body = BODY_EMPTY;
	const msgpack_object *sessions = NULL;
	json_t *frame, *session;

	json_document_make(&made, "%s", sample);
	source = source_of(&made, NULL);
	cr_assert_eq(member_array(&made.document.root, "sessions", &sessions), 1);
	frame_session_write(&body, &source, &sessions[0]);
	frame = parsed(&body, "{\"type\":\"session\"");
	session = json_object_get(frame, "session");
	is(json_object_get(session, "writers"), "[{'id':0.0}]");
	is(json_object_get(first(session, "metrics", 1), "value"), "0.1234567");
	json_decref(frame);
	body_free(&body);
	json_document_free(&made);
}

Test(frame, heads)
{
	char head[FRAME_HEAD_SIZE];

	cr_assert_eq(frame_head(head, FRAME_BUS, 5, 2, false), strlen(head));
	cr_assert_str_eq(head, "{\"type\":\"bus\",\"seq\":5,\"gap\":2");
	frame_head(head, FRAME_STATUS, 5, 2, true);
	cr_assert_str_eq(head, "{\"type\":\"status\"");
	cr_assert_eq(frame_head(head, FRAME_SESSION, UINT64_MAX, UINT64_MAX, true), strlen(head));
	cr_assert_str_eq(head, "{\"type\":\"session\",\"seq\":18446744073709551615,"
			       "\"gap\":18446744073709551615,\"final\":true");
}

Test(frame, words)
{
	struct body body = BODY_EMPTY;
	json_t *frame;

	frame_status_write(&body, "stale", 7, "the \"agent\" is\ngone");
	frame = parsed(&body, "{\"type\":\"status\"");
	is(json_object_get(frame, "error"), "'the \\'agent\\' is\\ngone'");
	is(json_object_get(frame, "age_ns"), "7.0");
	json_decref(frame);
	body_free(&body);
	frame_reason_write(&body, "ended");
	frame = parsed(&body, "{\"type\":\"end\"");
	is(frame, "{'type':'end','reason':'ended'}");
	json_decref(frame);
	body_free(&body);
}

/* ---- reals ---- */

static void real_is(double value, const char *expected)
{
	struct body body = BODY_EMPTY;

	frame_real(&body, value);
	body_bytes(&body, "", 1);
	cr_assert_str_eq(body.data, expected);
	body_free(&body);
}

Test(frame, reals)
{
	real_is(0, "0");
	real_is(1, "1");
	real_is(-1.5, "-1.5");
	real_is(100, "100");
	real_is(123456, "123456");
	real_is(1234567, "1234570");
	real_is(999999.7, "1000000");
	real_is(0.9999999, "1");
	real_is(0.05, "0.05");
	real_is(0.00012345678, "0.000123457");
	real_is(9.9999999e-5, "0.0001");
	real_is(1.5e-7, "1.5e-07");
	real_is(99999999999999, "100000000000000");
	real_is(1e300, "1e+300");
	real_is(NAN, "null");
	real_is(INFINITY, "null");
	real_is(-INFINITY, "null");
}

Test(frame, reals_of_any_size_are_as_near_as_six_digits)
{
	unsigned short random[3] = {1, 2, 3};

	for (int i = 0; i < 200000; i++) {
		double value = pow(10, erand48(random) * 40 - 20), read;
		struct body body = BODY_EMPTY;
		char *end;

		frame_real(&body, i % 2 ? value : -value);
		body_bytes(&body, "", 1);
		read = strtod(body.data, &end);
		cr_assert(*end == '\0' && fabs(fabs(read) / value - 1) <= 5.1e-6, "%.17g: %s",
			  value, body.data);
		body_free(&body);
	}
}

/* ---- documents that no agent writes ---- */

/* Whatever the document is, both frames are JSON. */
static void stands(struct json_document *made)
{
	const msgpack_object *sessions = NULL;
	struct frame_source source = source_of(made, NULL);
	size_t count = member_array(&made->document.root, "sessions", &sessions);
	struct body body = BODY_EMPTY;

	frame_bus_write(&body, &source);
	/* A NUL in a key, and a key that is none, are beyond jansson. */
	if (memmem(body.data, body.size, "\\u0000", 6) == NULL)
		json_decref(parsed(&body, "{\"type\":\"bus\""));
	body_free(&body);
	for (size_t i = 0; i < count; i++) {
		frame_session_write(&body, &source, &sessions[i]);
		if (memmem(body.data, body.size, "\\u0000", 6) == NULL)
			json_decref(parsed(&body, "{\"type\":\"session\""));
		body_free(&body);
	}
}

static void stands_text(const char *text)
{
	struct json_document made;

	json_document_make(&made, "%s", text);
	stands(&made);
	json_document_free(&made);
}

Test(frame, other_types_everywhere)
{
	static const char *const values[] = {"null", "true",   "-3",       "0.5",  "'text'",
					     "[]",   "[[[]]]", "{'a':{}}", "[{}]", "[1,'x']"};
	static const char *const places[] = {
		"%s",
		"{'agent':%s,'totals':%s,'sessions':%s}",
		"{'totals':{'metrics':%s,'recent':%s},'sessions':[%s]}",
		"{'sessions':[{'id':%s,'labels':%s,'metrics':%s}]}",
		"{'sessions':[{'state':%s,'derived':%s,'metrics':[%s]}]}",
		"{'sessions':[{'metrics':[{'name':%s,'kind':%s,'value':%s}]}]}",
		"{'sessions':[{'metrics':[{'count':%s,'quantiles':%s,'windows':%s}]}]}",
		"{'sessions':[{'metrics':[{'count':1,'mean':%s,'max':%s,'windows':{'10s':%s}}]}]}",
		"{'sessions':[{'metrics':[{'target':%s,'period':%s,'target':{'value':%s}}]}]}",
	};

	for (size_t p = 0; p < sizeof places / sizeof places[0]; p++) {
		for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
			char text[512], rest[512];
			const char *from = places[p], *hole;

			for (text[0] = '\0'; (hole = strstr(from, "%s")) != NULL; from = hole + 2) {
				snprintf(rest, sizeof rest, "%.*s%s", (int)(hole - from), from,
					 values[v]);
				strcat(text, rest);
			}
			strcat(text, from);
			stands_text(text);
		}
	}
}

/* Each byte of a document changed: those that are documents still make frames. */
Test(frame, every_byte_changed, .timeout = 300)
{
	static const uint8_t others[] = {0x00, 0x80, 0x81, 0x90, 0x91, 0xa0, 0xa1, 0xc0,
					 0xc3, 0xca, 0xcb, 0xd3, 0xe0, 0xff, 0x0a, 0x22};
	struct json_document made, other;
	size_t decoded = 0;

	json_document_make(&made, "%s", sample);
	for (size_t at = 0; at < made.bytes.size; at++) {
		for (size_t i = 0; i < sizeof others; i++) {
			uint8_t *bytes = malloc(made.bytes.size);

			cr_assert_not_null(bytes);
			memcpy(bytes, made.bytes.data, made.bytes.size);
			bytes[at] = others[i];
			if (document_decode(&other.document, bytes, made.bytes.size) == 0) {
				decoded++;
				stands(&other);
				document_free(&other.document);
			}
			free(bytes);
		}
	}
	cr_assert_gt(decoded, 1000);
	json_document_free(&made);
}

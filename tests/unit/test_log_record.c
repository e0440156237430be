/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "log_record.h"

static msgpack_sbuffer buffer;
static msgpack_packer packer;
static struct document document;
static char *text;
static size_t size;
static FILE *out;
static struct record_context context;

static void begin(void)
{
	msgpack_sbuffer_init(&buffer);
	msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
	out = open_memstream(&text, &size);
	context = (struct record_context){.bus = "b", .time_unix_ns = 5};
}

static void end(void)
{
	free(text);
	msgpack_sbuffer_destroy(&buffer);
}

TestSuite(log_record, .init = begin, .fini = end);

/* Packs by a little language: { } of n pairs, [ of n elements, s text, u number, b truth. */
static void pack(const char *format, ...)
{
	va_list values;

	va_start(values, format);
	for (; *format != '\0'; format++) {
		const char *string;

		switch (*format) {
		case '{':
			msgpack_pack_map(&packer, va_arg(values, size_t));
			break;
		case '[':
			msgpack_pack_array(&packer, va_arg(values, size_t));
			break;
		case 's':
			string = va_arg(values, const char *);
			msgpack_pack_str(&packer, strlen(string));
			msgpack_pack_str_body(&packer, string, strlen(string));
			break;
		case 'u':
			msgpack_pack_uint64(&packer, va_arg(values, uint64_t));
			break;
		default:
			string = va_arg(values, const char *);
			if (strcmp(string, "true") == 0)
				msgpack_pack_true(&packer);
			else
				msgpack_pack_false(&packer);
		}
	}
	va_end(values);
}

#define N(count) ((size_t)(count))
#define U(number) ((uint64_t)(number))

static const msgpack_object *packed(void)
{
	cr_assert_eq(document_decode(&document, (const uint8_t *)buffer.data, buffer.size), 0);
	return &document.root;
}

static const char *written(void)
{
	fclose(out);
	return text;
}

Test(log_record, gap_leaves_out_what_is_0)
{
	struct record_gap gap = {.what = "write", .reason = "No \"room\"", .failures = 3};

	record_gap(out, &context, &gap);
	cr_assert_str_eq(written(), "{\"event\":\"gap\",\"time_unix_ns\":5,\"bus\":\"b\",\"what\":"
				    "\"write\",\"reason\":\"No \\\"room\\\"\",\"failures\":3}\n");
}

Test(log_record, key_tells_incarnations_apart)
{
	char key[RECORD_KEY_SIZE];
	const msgpack_object *session;

	pack("{sssu", N(2), "segment", "/shmbus.b.s.1", "incarnation", U(18446744073709551615u));
	session = packed();
	cr_assert_str_eq(record_key(session, key), "/shmbus.b.s.1 18446744073709551615");
	document_free(&document);
}

Test(log_record, session_names_its_targets)
{
	const msgpack_object *session;
	const char *line;

	pack("{ssss", N(4), "id", "a\nb", "state", "lost");
	pack("sus[", "start_time_unix_ns", U(1000), "metrics", N(3));
	for (int i = 0; i < 3; i++) {
		pack("{sss{sb", N(4), "name",
		     i == 0   ? "x"
		     : i == 1 ? "y"
			      : "z",
		     "target", N(1), "met", i == 1 ? "false" : "true");
		pack("s[us{", "histogram", N(1), U(9), "quantiles", N(0));
	}
	session = packed();
	cr_assert(record_finished(session));
	record_session(out, &context, session);
	line = written();
	cr_assert_eq(strncmp(line, RECORD_SESSION, sizeof RECORD_SESSION - 1), 0);
	cr_assert_not_null(strstr(line, "\"id\":\"a\\nb\""), "%s", line);
	cr_assert_not_null(strstr(line, "\"targets\":{\"met\":[\"x\",\"z\"],\"missed\":[\"y\"]}"));
	cr_assert_not_null(strstr(line, "\"start_time_unix_ns\":1000,\"duration_ns\":0"));
	cr_assert_null(strstr(line, "histogram"));
	cr_assert_eq(strchr(line, '\n'), line + strlen(line) - 1, "one line");
	document_free(&document);
}

/* Who can write to /dev/shm can make the document anything. */
Test(log_record, anything_may_be_of_another_type)
{
	const msgpack_object *session;

	pack("{susu", N(5), "metrics", U(1), "writers", U(2));
	pack("sssus[", "state", "running", "segment", U(3), "derived", N(2));
	pack("us", U(4), "text");
	session = packed();
	cr_assert_not(record_finished(session));
	context.root = session;
	record_session(out, &context, session);
	record_throttle(out, &context, session, session, 10);
	record_interval(out, &context, &(struct record_interval){.agent_state = "gone"});
	record_event(out, &context, "start", "gone");
	cr_assert_not_null(
		strstr(written(), "\"metrics\":[],\"targets\":{\"met\":[],\"missed\":[]}"));
	document_free(&document);
}

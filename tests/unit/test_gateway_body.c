/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <jansson.h>

#include "body.h"
#include "document.h"

static struct body body;

static void finish(void)
{
	body_free(&body);
}

static const char *text(void)
{
	body_bytes(&body, "", 1);
	cr_assert(!body.failed);
	return body.data;
}

TestSuite(body, .fini = finish);

Test(body, numbers)
{
	body_u64(&body, 0);
	body_text(&body, " ");
	body_u64(&body, UINT64_MAX);
	body_text(&body, " ");
	body_i64(&body, INT64_MIN);
	body_text(&body, " ");
	body_i64(&body, 7);
	cr_expect_str_eq(text(), "0 18446744073709551615 -9223372036854775808 7");
}

Test(body, reals_are_short_and_exact)
{
	static const double values[] = {0.1,    1.0 / 3, 1e300, 5e-324,
					123456, 2.5e-9,  -0.0,  1.7976931348623157e308};

	body_real(&body, 0.1);
	body_text(&body, " ");
	body_real(&body, 100);
	body_text(&body, " ");
	body_real(&body, INFINITY);
	body_text(&body, " ");
	body_real(&body, -INFINITY);
	body_text(&body, " ");
	body_real(&body, NAN);
	cr_expect_str_eq(text(), "0.1 100 +Inf -Inf NaN");
	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
		body_free(&body);
		body_real(&body, values[i]);
		cr_expect(strtod(text(), NULL) == values[i], "%s", body.data);
	}
}

Test(body, printf_grows)
{
	char *large = malloc(100001);

	cr_assert(large);
	memset(large, 'x', 100000);
	large[100000] = '\0';
	body_printf(&body, "%s|%d", large, 42);
	cr_expect_eq(body.size, 100003);
	cr_expect(memcmp(body.data + 100000, "|42", 3) == 0);
	free(large);
}

Test(body, json_texts)
{
	body_json_text(&body, "a\"\\\n\x7f", 5);
	body_json_text(&body, "\xc3\xa9\xf0\x9f\x8e\xb5", 6);
	body_json_text(&body, "\xc3", 1);                       /* cut */
	body_json_text(&body, "\xed\xa0\x80", 3);               /* a surrogate */
	body_json_text(&body, "\xc0\x80|\xf5|\xe0\x80\x80", 8); /* too long, too large */
	cr_expect_str_eq(text(), "\"a\\\"\\\\\\u000a\\u007f\""
				 "\"\xc3\xa9\xf0\x9f\x8e\xb5\""
				 "\"\\ufffd\""
				 "\"\\ufffd\\ufffd\\ufffd\""
				 "\"\\ufffd\\ufffd|\\ufffd|\\ufffd\\ufffd\\ufffd\"");
}

/* Whatever a document holds, what comes out is JSON, and as deep and as long. */
Test(body, json_values)
{
	static const uint8_t bytes[] = {0x84, 0xa1, 'a',  0x93, 0xc0, 0xc3, 0xcb, 0x7f,
					0xf8, 0,    0,    0,    0,    0,    0,    0xa1,
					'b',  0xff, 0x07, 0xa1, 0xff, 0xa1, 'c',  0x80};
	struct document document;
	json_t *parsed;

	cr_assert_eq(document_decode(&document, bytes, sizeof bytes), 0);
	body_json_value(&body, &document.root);
	document_free(&document);
	parsed = json_loads(text(), 0, NULL);
	cr_assert(parsed, "%s", body.data);
	cr_expect_str_eq(body.data, "{\"a\":[null,true,null],\"b\":-1,\"?\":\"\\ufffd\",\"c\":{}}");
	json_decref(parsed);
}

Test(body, failed_takes_nothing_more)
{
	body.failed = true;
	body_text(&body, "x");
	body_printf(&body, "%d", 1);
	body_json_text(&body, "y", 1);
	cr_expect_eq(body.size, 0);
	cr_expect(body.failed);
}

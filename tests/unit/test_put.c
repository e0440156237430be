/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <msgpack.h>

#include "encode_metric.h"
#include "put.h"

/* What msgpack-c makes of the same values, side by side. */
static struct put_buffer ours;
static msgpack_sbuffer theirs;
static msgpack_packer our_packer, their_packer;

static void setup(void)
{
	msgpack_sbuffer_init(&ours.bytes);
	ours.cut = false;
	msgpack_sbuffer_init(&theirs);
	msgpack_packer_init(&our_packer, &ours, put_buffer_write);
	msgpack_packer_init(&their_packer, &theirs, msgpack_sbuffer_write);
}

static void teardown(void)
{
	msgpack_sbuffer_destroy(&ours.bytes);
	msgpack_sbuffer_destroy(&theirs);
}

TestSuite(put, .init = setup, .fini = teardown);

static void expect_equal(const char *what, uint64_t value)
{
	cr_assert(!ours.cut);
	cr_assert_eq(ours.bytes.size, theirs.size, "%s %llu: %zu bytes, not %zu", what,
		     (unsigned long long)value, ours.bytes.size, theirs.size);
	cr_assert_arr_eq(ours.bytes.data, theirs.data, theirs.size);
	put_buffer_clear(&ours);
	msgpack_sbuffer_clear(&theirs);
}

static void their_text(const char *text)
{
	msgpack_pack_str(&their_packer, strlen(text));
	msgpack_pack_str_body(&their_packer, text, strlen(text));
}

Test(put, texts_of_every_size)
{
	static const size_t lengths[] = {0, 1, 31, 32, 33, 255, 256, 257, 65535, 65536, 100000};
	static char text[100001];

	for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
		memset(text, 'x', sizeof text);
		text[lengths[i]] = '\0';
		pack_text(&our_packer, text);
		their_text(text);
		expect_equal("text of", lengths[i]);
	}
}

Test(put, numbers_at_every_border)
{
	for (uint32_t shift = 0; shift < 64; shift++) {
		for (int add = -1; add <= 1; add++) {
			uint64_t value = (UINT64_C(1) << shift) + (uint64_t)add;

			pack_u64(&our_packer, "number", value);
			their_text("number");
			msgpack_pack_uint64(&their_packer, value);
			expect_equal("number", value);
		}
	}
}

Test(put, reals_and_what_is_none)
{
	static const double reals[] = {0, -0.0, 0.1, 1e300, -5e-324};

	for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) {
		pack_real(&our_packer, "real", reals[i]);
		their_text("real");
		msgpack_pack_double(&their_packer, reals[i]);
		expect_equal("real", i);
	}
	pack_real(&our_packer, "real", INFINITY);
	their_text("real");
	msgpack_pack_nil(&their_packer);
	expect_equal("infinity", 0);
}

Test(put, one_after_the_other_as_the_buffer_grows)
{
	for (uint64_t i = 0; i < 100000; i++) {
		struct put put = {0};

		pack_string(&our_packer, "key", "value");
		their_text("key");
		their_text("value");
		cr_assert(put_begin(&put, &ours, 100));
		put_map(&put, i % 16);
		put_array(&put, (uint32_t)i % 2065);
		put_bool(&put, "flag", i % 2 != 0);
		put_end(&put, &ours);
		msgpack_pack_map(&their_packer, i % 16);
		msgpack_pack_array(&their_packer, i % 2065);
		their_text("flag");
		i % 2 != 0 ? msgpack_pack_true(&their_packer) : msgpack_pack_false(&their_packer);
	}
	expect_equal("rounds", 100000);
}

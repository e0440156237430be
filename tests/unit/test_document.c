/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "document.h"

/* Decodes a copy on the heap of exactly `size` bytes, so that ASan sees one byte too far. */
static int decode(struct document *document, const void *data, size_t size, uint8_t **copy)
{
	int error;

	*copy = malloc(size == 0 ? 1 : size);
	cr_assert_not_null(*copy);
	memcpy(*copy, data, size);
	error = document_decode(document, *copy, size);
	if (error != 0) {
		free(*copy);
		*copy = NULL;
	}
	return error;
}

static int refused(const void *data, size_t size)
{
	struct document document;
	uint8_t *copy;
	int error = decode(&document, data, size, &copy);

	if (error == 0) {
		document_free(&document);
		free(copy);
	}
	return error;
}

static void pack_text(msgpack_packer *packer, const char *text)
{
	msgpack_pack_str(packer, strlen(text));
	msgpack_pack_str_body(packer, text, strlen(text));
}

/* {schema:1, bus:"b", big:2^64-1, low:-5, half:0.5, on:true, list:[1,"two",{"three":nil}]} */
static void sample(msgpack_sbuffer *buffer)
{
	msgpack_packer packer;

	msgpack_sbuffer_init(buffer);
	msgpack_packer_init(&packer, buffer, msgpack_sbuffer_write);
	msgpack_pack_map(&packer, 7);
	pack_text(&packer, "schema");
	msgpack_pack_uint64(&packer, 1);
	pack_text(&packer, "bus");
	pack_text(&packer, "b");
	pack_text(&packer, "big");
	msgpack_pack_uint64(&packer, UINT64_MAX);
	pack_text(&packer, "low");
	msgpack_pack_int64(&packer, -5);
	pack_text(&packer, "half");
	msgpack_pack_double(&packer, 0.5);
	pack_text(&packer, "on");
	msgpack_pack_true(&packer);
	pack_text(&packer, "list");
	msgpack_pack_array(&packer, 3);
	msgpack_pack_uint64(&packer, 1);
	pack_text(&packer, "two");
	msgpack_pack_map(&packer, 1);
	pack_text(&packer, "three");
	msgpack_pack_nil(&packer);
}

Test(document, members)
{
	const msgpack_object *list = NULL;
	struct document document;
	msgpack_sbuffer buffer;
	uint8_t *copy;
	char text[8];

	sample(&buffer);
	cr_assert_eq(decode(&document, buffer.data, buffer.size, &copy), 0);
	cr_assert_eq(member_u64(&document.root, "schema", 0), 1);
	cr_assert_eq(member_u64(&document.root, "big", 0), UINT64_MAX);
	cr_assert_eq(member_real(&document.root, "low", 0), -5);
	cr_assert_eq(member_real(&document.root, "half", 0), 0.5);
	cr_assert_eq(member_bool(&document.root, "on"), 1);
	cr_assert_str_eq(member_text(&document.root, "bus", text, sizeof text), "b");
	cr_assert_eq(member_array(&document.root, "list", &list), 3);
	cr_assert_not_null(member(&list[2], "three"));
	document_free(&document);
	free(copy);
	msgpack_sbuffer_destroy(&buffer);
}

Test(document, absent_and_of_another_type)
{
	const msgpack_object *list = NULL;
	struct document document;
	msgpack_sbuffer buffer;
	uint8_t *copy;
	char text[8] = "before";

	sample(&buffer);
	cr_assert_eq(decode(&document, buffer.data, buffer.size, &copy), 0);
	cr_assert_null(member(&document.root, "none"));
	cr_assert_null(member(&document.root, "bu")); /* a beginning is no match */
	cr_assert_null(member(NULL, "bus"));
	cr_assert_null(member(member(&document.root, "bus"), "bus"));
	cr_assert_eq(member_u64(&document.root, "low", 7), 7);
	cr_assert_eq(member_u64(&document.root, "half", 7), 7);
	cr_assert_eq(member_u64(&document.root, "list", 7), 7);
	cr_assert_eq(member_real(&document.root, "bus", 7), 7);
	cr_assert_eq(member_real(&document.root, "on", 7), 7);
	cr_assert_eq(member_bool(&document.root, "schema"), -1);
	cr_assert_eq(member_bool(&document.root, "none"), -1);
	cr_assert_str_eq(member_text(&document.root, "schema", text, sizeof text), "");
	cr_assert_eq(member_array(&document.root, "bus", &list), 0);
	cr_assert_null(list);
	document_free(&document);
	free(copy);
	msgpack_sbuffer_destroy(&buffer);
}

Test(document, truncated_at_every_byte)
{
	msgpack_sbuffer buffer;

	sample(&buffer);
	for (size_t size = 0; size < buffer.size; size++)
		cr_assert_eq(refused(buffer.data, size), -EBADMSG, "%zu bytes", size);
	cr_assert_eq(refused(buffer.data, buffer.size), 0);
	msgpack_sbuffer_destroy(&buffer);
}

Test(document, bytes_after_the_end)
{
	static const uint8_t two[] = {0x80, 0x80};

	cr_assert_eq(refused(two, 1), 0);
	cr_assert_eq(refused(two, 2), -EBADMSG);
}

/* Whatever one byte becomes, it is decoded or refused; ASan and UBSan watch. */
Test(document, every_byte_changed)
{
	msgpack_sbuffer buffer;

	sample(&buffer);
	for (size_t at = 0; at < buffer.size; at++) {
		char before = buffer.data[at];

		for (int byte = 0; byte < 256; byte++) {
			int error;

			buffer.data[at] = (char)byte;
			error = refused(buffer.data, buffer.size);
			cr_assert(error == 0 || error == -EBADMSG, "byte %zu is %d", at, byte);
		}
		buffer.data[at] = before;
	}
	msgpack_sbuffer_destroy(&buffer);
}

Test(document, absurd_sizes)
{
	static const struct {
		uint8_t bytes[8];
		size_t size;
	} cases[] = {
		{{0xdd, 0xff, 0xff, 0xff, 0xff}, 5},             /* array 32 */
		{{0xdf, 0xff, 0xff, 0xff, 0xff}, 5},             /* map 32 */
		{{0xdf, 0x80, 0x00, 0x00, 0x00, 0xc0, 0xc0}, 7}, /* pairs × 2 wrap in 32 bits */
		{{0xdc, 0xff, 0xff, 0xc0}, 4},                   /* array 16 */
		{{0xde, 0xff, 0xff, 0xc0}, 4},                   /* map 16 */
		{{0xdb, 0xff, 0xff, 0xff, 0xff, 'a'}, 6},        /* str 32 */
		{{0xda, 0xff, 0xff, 'a'}, 4},                    /* str 16 */
		{{0xd9, 0xff, 'a'}, 3},                          /* str 8 */
		{{0xc6, 0xff, 0xff, 0xff, 0xff, 'a'}, 6},        /* bin 32 */
		{{0xdd, 0x00, 0x00}, 3},                         /* half a length */
		{{0x92, 0xdd, 0x7f, 0xff, 0xff, 0xff}, 6},       /* inside another */
		{{0xc1}, 1},                                     /* never used */
		{{0xc9, 0xff, 0xff, 0xff, 0xff, 0x01}, 6},       /* ext 32 */
		{{0xd4, 0x01, 0x00}, 3},                         /* fixext 1 */
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		cr_assert_eq(refused(cases[i].bytes, cases[i].size), -EBADMSG, "case %zu", i);
}

Test(document, deep_nesting)
{
	uint8_t arrays[100000], maps[200];

	memset(arrays, 0x91, sizeof arrays); /* arrays of one, and a nil at the bottom */
	arrays[sizeof arrays - 1] = 0xc0;
	cr_assert_eq(refused(arrays, sizeof arrays), -EBADMSG);
	for (size_t depth = 1; depth < DOCUMENT_DEPTH_MAX; depth++)
		cr_assert_eq(refused(arrays + sizeof arrays - 1 - depth, depth + 1), 0, "%zu",
			     depth);
	cr_assert_eq(
		refused(arrays + sizeof arrays - 1 - DOCUMENT_DEPTH_MAX, DOCUMENT_DEPTH_MAX + 1),
		-EBADMSG);
	for (size_t i = 0; i < sizeof maps; i += 2) { /* maps of one pair, nil the key */
		maps[i] = 0x81;
		maps[i + 1] = 0xc0;
	}
	cr_assert_eq(refused(maps, sizeof maps), -EBADMSG);
}

Test(document, empty_containers_do_not_nest)
{
	uint8_t many[1 + 4 + 1000];

	many[0] = 0xdd;
	many[1] = many[2] = 0;
	many[3] = 1001 >> 8;
	many[4] = 1001 & 255;
	memset(many + 5, 0x90, 1000);
	cr_assert_eq(refused(many, 1005), -EBADMSG); /* one too few */
	many[4]--;
	cr_assert_eq(refused(many, 1005), 0);
}

static void clean_is(const char *text, size_t length, size_t size, const char *expected)
{
	char out[64];

	memset(out, 'x', sizeof out);
	cr_assert_str_eq(text_clean(text, length, out, size), expected);
}

Test(document, text_has_no_controls)
{
	clean_is("a\x1b[31mb", 7, 64, "a?[31mb"); /* C0 */
	clean_is("a\0b\x7f\n", 5, 64, "a?b??");
	clean_is("\xc2\x9b"
		 "31m",
		 5, 64, "??31m"); /* C1: CSI as UTF-8 */
	clean_is("\x9b"
		 "31m",
		 4, 64, "?31m"); /* and as a bare byte */
	clean_is("gr\xc3\xb6\xc3\x9f"
		 "e \xe2\x82\xac \xf0\x9f\x98\x80",
		 16, 64,
		 "gr\xc3\xb6\xc3\x9f"
		 "e \xe2\x82\xac \xf0\x9f\x98\x80");
	clean_is("\xc0\x9b", 2, 64, "??");           /* overlong */
	clean_is("\xe0\x82\x9b", 3, 64, "???");      /* overlong */
	clean_is("\xed\xa0\x80", 3, 64, "???");      /* a surrogate */
	clean_is("\xf4\x90\x80\x80", 4, 64, "????"); /* past the end */
	clean_is("a\xe2\x82", 3, 64, "a??");         /* cut off */
	clean_is("\xff\xfe", 2, 64, "??");
}

Test(document, text_is_cut_between_characters)
{
	clean_is("abc", 3, 3, "ab");
	clean_is("abc", 3, 4, "abc");
	clean_is("a\xc3\xb6", 3, 3, "a");
	clean_is("a\xc3\xb6", 3, 4, "a\xc3\xb6");
	clean_is("\xe2\x82\xac", 3, 3, "");
	clean_is("abc", 3, 1, "");
	clean_is("", 0, 1, "");
}

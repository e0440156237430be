/* SPDX-License-Identifier: MIT */
/* test_gateway_handshake.c - how an HTTP connection becomes a WebSocket. */
#include <criterion/criterion.h>

#include "handshake.h"

Test(handshake, the_example_of_the_rfc)
{
	char accept[HANDSHAKE_ACCEPT_SIZE];

	cr_assert(handshake_accept("dGhlIHNhbXBsZSBub25jZQ==", accept));
	cr_assert_str_eq(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

Test(handshake, keys_that_are_none)
{
	static const char *const keys[] = {
		"",
		"dGhlIHNhbXBsZSBub25jZQ=",   /* too short */
		"dGhlIHNhbXBsZSBub25jZQ===", /* too long */
		"dGhlIHNhbXBsZSBub25jZXM=",  /* 17 bytes */
		"dGhlIHNhbXBsZSBub25jZXNv",  /* 18 bytes */
		"dGhlIHNhbXBsZSBub25j*Q==",
		"========================",
	};
	char accept[HANDSHAKE_ACCEPT_SIZE];

	cr_assert_not(handshake_accept(NULL, accept));
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
		cr_assert_not(handshake_accept(keys[i], accept), "%s", keys[i]);
}

Test(handshake, tokens)
{
	cr_assert(handshake_has_token("Upgrade", "upgrade"));
	cr_assert(handshake_has_token("keep-alive, Upgrade", "upgrade"));
	cr_assert(handshake_has_token(",\tUPGRADE ,x", "upgrade"));
	cr_assert_not(handshake_has_token("upgraded, xupgrade", "upgrade"));
	cr_assert_not(handshake_has_token("", "upgrade"));
	cr_assert_not(handshake_has_token(NULL, "upgrade"));
}

Test(handshake, origins)
{
	cr_assert(handshake_origin_allowed(NULL, "h:1"));
	cr_assert(handshake_origin_allowed("http://h:1", "H:1"));
	cr_assert(handshake_origin_allowed("https://h", "h"));
	cr_assert(handshake_origin_allowed("http://[::1]:9", "[::1]:9"));
	cr_assert_not(handshake_origin_allowed("http://h:2", "h:1"));
	cr_assert_not(handshake_origin_allowed("http://h.evil", "h"));
	cr_assert_not(handshake_origin_allowed("http://evil/h:1", "h:1"));
	cr_assert_not(handshake_origin_allowed("null", "h:1"));
	cr_assert_not(handshake_origin_allowed("", "h:1"));
	cr_assert_not(handshake_origin_allowed("file://h:1", "h:1"));
	cr_assert_not(handshake_origin_allowed("http://h:1", NULL));
}

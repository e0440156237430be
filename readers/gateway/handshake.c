/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <strings.h>

#include <nettle/base64.h>
#include <nettle/sha1.h>

#include "handshake.h"

#define KEY_SIZE 16u
#define KEY_TEXT_SIZE 24u /* of 16 bytes in base64 */

static bool key_valid(const char *key)
{
	struct base64_decode_ctx decode;
	uint8_t bytes[BASE64_DECODE_LENGTH(KEY_TEXT_SIZE)];
	size_t size = sizeof bytes;

	if (strlen(key) != KEY_TEXT_SIZE)
		return false;
	base64_decode_init(&decode);
	return base64_decode_update(&decode, &size, bytes, KEY_TEXT_SIZE, key) == 1 &&
	       base64_decode_final(&decode) == 1 && size == KEY_SIZE;
}

bool handshake_accept(const char *key, char out[HANDSHAKE_ACCEPT_SIZE])
{
	static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	uint8_t digest[SHA1_DIGEST_SIZE];
	struct sha1_ctx sha1;

	if (key == NULL || !key_valid(key))
		return false;
	sha1_init(&sha1);
	sha1_update(&sha1, KEY_TEXT_SIZE, (const uint8_t *)key);
	sha1_update(&sha1, sizeof magic - 1, (const uint8_t *)magic);
	sha1_digest(&sha1, sizeof digest, digest);
	base64_encode_raw(out, sizeof digest, digest);
	out[BASE64_ENCODE_RAW_LENGTH(SHA1_DIGEST_SIZE)] = '\0';
	return true;
}

bool handshake_has_token(const char *value, const char *token)
{
	size_t length = strlen(token);

	while (value != NULL && *value != '\0') {
		size_t size;

		value += strspn(value, ", \t");
		size = strcspn(value, ", \t");
		if (size == length && strncasecmp(value, token, length) == 0)
			return true;
		value += size;
	}
	return false;
}

bool handshake_origin_allowed(const char *origin, const char *host)
{
	const char *authority;

	if (origin == NULL)
		return true;
	if (host == NULL)
		return false;
	if (strncasecmp(origin, "http://", 7) == 0)
		authority = origin + 7;
	else if (strncasecmp(origin, "https://", 8) == 0)
		authority = origin + 8;
	else
		return false; /* "null" too: a sandboxed page, a file */
	return strcasecmp(authority, host) == 0;
}

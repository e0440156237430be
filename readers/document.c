/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "document.h"

struct walk {
	const uint8_t *at;
	size_t left;
};

static bool take(struct walk *walk, size_t size)
{
	if (walk->left < size)
		return false;
	walk->at += size;
	walk->left -= size;
	return true;
}

/* A big-endian number of 1, 2, 4 or 8 bytes. */
static bool take_number(struct walk *walk, size_t size, uint64_t *out)
{
	const uint8_t *from = walk->at;

	if (!take(walk, size))
		return false;
	*out = 0;
	for (size_t i = 0; i < size; i++)
		*out = *out << 8 | from[i];
	return true;
}

enum shape { SHAPE_BYTES, SHAPE_ARRAY, SHAPE_MAP, SHAPE_WRONG };

/* The shape of the next value, and its length: of bytes to skip, of elements, of pairs. */
static enum shape header(struct walk *walk, uint64_t *length)
{
	static const uint8_t fixed[] = {4, 8, 1, 2, 4, 8, 1, 2, 4, 8}; /* 0xca to 0xd3 */
	uint64_t byte;

	*length = 0;
	if (!take_number(walk, 1, &byte))
		return SHAPE_WRONG;
	if (byte <= 0x7f || byte >= 0xe0 || byte == 0xc0 || byte == 0xc2 || byte == 0xc3)
		return SHAPE_BYTES;
	if (byte <= 0x8f)
		return *length = byte & 15, SHAPE_MAP;
	if (byte <= 0x9f)
		return *length = byte & 15, SHAPE_ARRAY;
	if (byte <= 0xbf)
		return *length = byte & 31, SHAPE_BYTES;
	if (byte >= 0xca && byte <= 0xd3)
		return *length = fixed[byte - 0xca], SHAPE_BYTES;
	switch (byte) {
	case 0xc4: /* bin, str: 8, 16 and 32 bits of length */
	case 0xd9:
		return take_number(walk, 1, length) ? SHAPE_BYTES : SHAPE_WRONG;
	case 0xc5:
	case 0xda:
		return take_number(walk, 2, length) ? SHAPE_BYTES : SHAPE_WRONG;
	case 0xc6:
	case 0xdb:
		return take_number(walk, 4, length) ? SHAPE_BYTES : SHAPE_WRONG;
	case 0xdc:
		return take_number(walk, 2, length) ? SHAPE_ARRAY : SHAPE_WRONG;
	case 0xdd:
		return take_number(walk, 4, length) ? SHAPE_ARRAY : SHAPE_WRONG;
	case 0xde:
		return take_number(walk, 2, length) ? SHAPE_MAP : SHAPE_WRONG;
	case 0xdf:
		return take_number(walk, 4, length) ? SHAPE_MAP : SHAPE_WRONG;
	default: /* extension types: a snapshot has none */
		return SHAPE_WRONG;
	}
}

bool document_valid(const uint8_t *data, size_t size)
{
	struct walk walk = {data, size};
	uint64_t open[DOCUMENT_DEPTH_MAX] = {1}; /* values still to come, at each level */
	int depth = 0;

	while (depth >= 0) {
		enum shape shape;
		uint64_t length;

		if (open[depth] == 0) {
			depth--;
			continue;
		}
		open[depth]--;
		shape = header(&walk, &length);
		if (shape == SHAPE_WRONG)
			return false;
		if (shape == SHAPE_BYTES) {
			if (!take(&walk, length))
				return false;
			continue;
		}
		/* Each element takes a byte at least: no container is larger than what is left. */
		length *= shape == SHAPE_MAP ? 2 : 1;
		if (length > walk.left || ++depth == DOCUMENT_DEPTH_MAX)
			return false;
		open[depth] = length;
	}
	return walk.left == 0;
}

int document_decode(struct document *document, const uint8_t *data, size_t size)
{
	msgpack_unpack_return result;
	size_t offset = 0;

	if (!document_valid(data, size))
		return -EBADMSG;
	if (!msgpack_zone_init(&document->zone, MSGPACK_ZONE_CHUNK_SIZE))
		return -ENOMEM;
	result =
		msgpack_unpack((const char *)data, size, &offset, &document->zone, &document->root);
	if (result == MSGPACK_UNPACK_SUCCESS)
		return 0;
	msgpack_zone_destroy(&document->zone);
	return result == MSGPACK_UNPACK_NOMEM_ERROR ? -ENOMEM : -EBADMSG;
}

int document_read(struct document *document, struct shmbus_snapshot_reader *reader)
{
	int error = shmbus_snapshot_read(reader, &document->snapshot);

	if (error != 0)
		return error;
	return document_decode(document, document->snapshot.data, document->snapshot.size);
}

void document_free(struct document *document)
{
	msgpack_zone_destroy(&document->zone);
}

/* ---- members ---- */

const msgpack_object *member(const msgpack_object *map, const char *key)
{
	size_t length = strlen(key);

	if (map == NULL || map->type != MSGPACK_OBJECT_MAP)
		return NULL;
	for (uint32_t i = 0; i < map->via.map.size; i++) {
		const msgpack_object_kv *pair = &map->via.map.ptr[i];

		if (pair->key.type == MSGPACK_OBJECT_STR && pair->key.via.str.size == length &&
		    memcmp(pair->key.via.str.ptr, key, length) == 0)
			return &pair->val;
	}
	return NULL;
}

double member_real(const msgpack_object *map, const char *key, double absent)
{
	const msgpack_object *value = member(map, key);

	if (value == NULL)
		return absent;
	switch (value->type) {
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		return (double)value->via.u64;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		return (double)value->via.i64;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		return value->via.f64;
	default:
		return absent;
	}
}

uint64_t member_u64(const msgpack_object *map, const char *key, uint64_t absent)
{
	const msgpack_object *value = member(map, key);

	return value != NULL && value->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? value->via.u64
									       : absent;
}

int member_bool(const msgpack_object *map, const char *key)
{
	const msgpack_object *value = member(map, key);

	return value != NULL && value->type == MSGPACK_OBJECT_BOOLEAN ? value->via.boolean : -1;
}

/* The bytes of the character at `text`, 0 where it is a control or no UTF-8. */
static size_t printable(const unsigned char *text, size_t length)
{
	static const uint32_t smallest[] = {0, 0, 0xa0, 0x800, 0x10000}; /* by size; C1 is below */
	size_t size = text[0] < 0x80 ? 1 : text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
	uint32_t code = size == 1 ? text[0] : text[0] & (0xffu >> (size + 1));

	if (size == 1)
		return code >= 0x20 && code != 0x7f;
	if (text[0] < 0xc2 || text[0] > 0xf4 || size > length)
		return 0;
	for (size_t i = 1; i < size; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (text[i] & 0x3f);
	}
	if (code < smallest[size] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return size;
}

const char *text_clean(const char *text, size_t length, char *out, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < length;) {
		size_t character = printable((const unsigned char *)text + i, length - i);

		if (used + (character == 0 ? 1 : character) >= size)
			break;
		if (character == 0) {
			out[used++] = '?';
			i++;
			continue;
		}
		memcpy(out + used, text + i, character);
		used += character;
		i += character;
	}
	out[used] = '\0';
	return out;
}

const char *member_text(const msgpack_object *map, const char *key, char *out, size_t size)
{
	const msgpack_object *value = member(map, key);

	out[0] = '\0';
	if (value == NULL || value->type != MSGPACK_OBJECT_STR)
		return out;
	return text_clean(value->via.str.ptr, value->via.str.size, out, size);
}

size_t member_array(const msgpack_object *map, const char *key, const msgpack_object **elements)
{
	const msgpack_object *value = member(map, key);

	if (value == NULL || value->type != MSGPACK_OBJECT_ARRAY)
		return 0;
	*elements = value->via.array.ptr;
	return value->via.array.size;
}

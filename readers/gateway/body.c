/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "body.h"

#define CAPACITY_MIN 256u

void body_free(struct body *body)
{
	free(body->data);
	*body = BODY_EMPTY;
}

/* Where so many bytes more can be written; NULL without memory. */
static char *room(struct body *body, size_t size)
{
	size_t capacity = body->capacity < CAPACITY_MIN ? CAPACITY_MIN : body->capacity;
	char *data;

	if (body->failed)
		return NULL;
	if (body->capacity - body->size >= size)
		return body->data + body->size;
	while (capacity - body->size < size)
		capacity *= 2;
	data = realloc(body->data, capacity);
	if (data == NULL) {
		body->failed = true;
		return NULL;
	}
	body->data = data;
	body->capacity = capacity;
	return data + body->size;
}

void body_bytes(struct body *body, const void *bytes, size_t size)
{
	char *at = room(body, size);

	if (at == NULL || size == 0)
		return;
	memcpy(at, bytes, size);
	body->size += size;
}

void body_text(struct body *body, const char *text)
{
	body_bytes(body, text, strlen(text));
}

void body_printf(struct body *body, const char *format, ...)
{
	va_list arguments;
	char *at;
	int size;

	va_start(arguments, format);
	size = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	at = size < 0 ? NULL : room(body, (size_t)size + 1);
	if (at == NULL)
		return;
	va_start(arguments, format);
	vsnprintf(at, (size_t)size + 1, format, arguments);
	va_end(arguments);
	body->size += (size_t)size;
}

void body_u64(struct body *body, uint64_t value)
{
	char digits[20], *at = digits + sizeof digits;

	do
		*--at = (char)('0' + value % 10);
	while ((value /= 10) != 0);
	body_bytes(body, at, (size_t)(digits + sizeof digits - at));
}

void body_i64(struct body *body, int64_t value)
{
	if (value < 0)
		body_bytes(body, "-", 1);
	body_u64(body, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void body_real(struct body *body, double value)
{
	char text[40];

	if (!isfinite(value)) {
		body_text(body, isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf");
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, value);
		if (digits == 17 || strtod(text, NULL) == value)
			break;
	}
	body_text(body, text);
}

/* ---- JSON ---- */

/* The bytes of the UTF-8 character at `text`, 0 where there is none. */
static size_t character(const unsigned char *text, size_t length)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000}; /* by size */
	size_t size = text[0] < 0x80 ? 1 : text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
	uint32_t code = text[0] & (0xffu >> (size + 1));

	if (size == 1)
		return 1;
	if (text[0] < 0xc2 || text[0] > 0xf4 || size > length)
		return 0;
	for (size_t i = 1; i < size; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (text[i] & 0x3f);
	}
	return code < smallest[size] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)
		       ? 0
		       : size;
}

static bool plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

void body_json_text(struct body *body, const char *text, size_t length)
{
	const unsigned char *at = (const unsigned char *)text, *end = at + length;

	body_bytes(body, "\"", 1);
	while (at < end) {
		const unsigned char *from = at;
		size_t size;

		while (at < end && plain(*at))
			at++;
		body_bytes(body, from, (size_t)(at - from));
		if (at == end)
			break;
		size = character(at, (size_t)(end - at));
		if (size == 0)
			body_text(body, "\\ufffd");
		else if (size > 1)
			body_bytes(body, at, size);
		else if (*at == '"' || *at == '\\')
			body_bytes(body, (const char[]){'\\', (char)*at}, 2);
		else
			body_printf(body, "\\u%04x", *at);
		at += size == 0 ? 1 : size;
	}
	body_bytes(body, "\"", 1);
}

void body_json_real(struct body *body, double value)
{
	if (isfinite(value))
		body_real(body, value);
	else
		body_text(body, "null");
}

static void json_array(struct body *body, const msgpack_object_array *array)
{
	body_bytes(body, "[", 1);
	for (uint32_t i = 0; i < array->size; i++) {
		if (i != 0)
			body_bytes(body, ",", 1);
		body_json_value(body, &array->ptr[i]);
	}
	body_bytes(body, "]", 1);
}

static void json_map(struct body *body, const msgpack_object_map *map)
{
	body_bytes(body, "{", 1);
	for (uint32_t i = 0; i < map->size; i++) {
		const msgpack_object *key = &map->ptr[i].key;

		if (i != 0)
			body_bytes(body, ",", 1);
		if (key->type == MSGPACK_OBJECT_STR)
			body_json_text(body, key->via.str.ptr, key->via.str.size);
		else
			body_text(body, "\"?\"");
		body_bytes(body, ":", 1);
		body_json_value(body, &map->ptr[i].val);
	}
	body_bytes(body, "}", 1);
}

void body_json_value(struct body *body, const msgpack_object *value)
{
	switch (value->type) {
	case MSGPACK_OBJECT_BOOLEAN:
		body_text(body, value->via.boolean ? "true" : "false");
		break;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		body_u64(body, value->via.u64);
		break;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		body_i64(body, value->via.i64);
		break;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		body_json_real(body, value->via.f64);
		break;
	case MSGPACK_OBJECT_STR:
		body_json_text(body, value->via.str.ptr, value->via.str.size);
		break;
	case MSGPACK_OBJECT_ARRAY:
		json_array(body, &value->via.array);
		break;
	case MSGPACK_OBJECT_MAP:
		json_map(body, &value->via.map);
		break;
	default:
		body_text(body, "null");
	}
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "saved.h"

#define FILE_SIZE_MAX (1u << 30)

static int read_all(FILE *file, char **bytes, size_t *size)
{
	size_t capacity = 0, used = 0;
	char *data = NULL;

	do {
		char *larger = used < FILE_SIZE_MAX ? realloc(data, capacity * 2 + 65536) : NULL;

		if (larger == NULL) {
			free(data);
			return used < FILE_SIZE_MAX ? -ENOMEM : -EFBIG;
		}
		data = larger;
		capacity = capacity * 2 + 65536;
		used += fread(data + used, 1, capacity - used, file);
	} while (used == capacity);
	if (ferror(file)) {
		free(data);
		return -EIO;
	}
	*bytes = data;
	*size = used;
	return 0;
}

/* ---- JSON ---- */

/* Where the file has integers that JSON's reader has no room for, all numbers come as reals. */
static void pack_real(msgpack_packer *packer, double value)
{
	if (value >= 0 && value < 0x1p64 && value == floor(value))
		msgpack_pack_uint64(packer, (uint64_t)value);
	else
		msgpack_pack_double(packer, value);
}

static void pack_object(msgpack_packer *packer, json_t *object)
{
	void *pair = json_object_iter(object);

	msgpack_pack_map(packer, json_object_size(object));
	for (; pair != NULL; pair = json_object_iter_next(object, pair)) {
		const char *key = json_object_iter_key(pair);

		msgpack_pack_str_with_body(packer, key, strlen(key));
		saved_pack(packer, json_object_iter_value(pair));
	}
}

void saved_pack(msgpack_packer *packer, const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		pack_object(packer, (json_t *)(uintptr_t)value);
		break;
	case JSON_ARRAY:
		msgpack_pack_array(packer, json_array_size(value));
		for (size_t i = 0; i < json_array_size(value); i++)
			saved_pack(packer, json_array_get(value, i));
		break;
	case JSON_STRING:
		msgpack_pack_str_with_body(packer, json_string_value(value),
					   json_string_length(value));
		break;
	case JSON_INTEGER:
		if (json_integer_value(value) < 0)
			msgpack_pack_int64(packer, json_integer_value(value));
		else
			msgpack_pack_uint64(packer, (uint64_t)json_integer_value(value));
		break;
	case JSON_REAL:
		pack_real(packer, json_real_value(value));
		break;
	case JSON_NULL:
		msgpack_pack_nil(packer);
		break;
	default:
		if (json_is_true(value))
			msgpack_pack_true(packer);
		else
			msgpack_pack_false(packer);
	}
}

static int from_json(char **bytes, size_t *size)
{
	json_t *root = json_loadb(*bytes, *size, 0, NULL);
	msgpack_sbuffer buffer;
	msgpack_packer packer;

	if (root == NULL)
		root = json_loadb(*bytes, *size, JSON_DECODE_INT_AS_REAL, NULL);
	if (root == NULL)
		return -EBADMSG;
	msgpack_sbuffer_init(&buffer);
	msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
	saved_pack(&packer, root);
	json_decref(root);
	free(*bytes);
	*size = buffer.size;
	*bytes = msgpack_sbuffer_release(&buffer);
	return *bytes == NULL ? -ENOMEM : 0;
}

/* ---- either ---- */

static bool looks_like_json(const char *bytes, size_t size)
{
	size_t at = 0;

	while (at < size && strchr(" \t\r\n", bytes[at]) != NULL && bytes[at] != '\0')
		at++;
	return at < size && bytes[at] == '{';
}

int saved_read(struct saved *saved, const char *path)
{
	FILE *file = fopen(path, "re");
	size_t size = 0;
	int error;

	*saved = (struct saved){0};
	if (file == NULL)
		return -errno;
	error = read_all(file, &saved->bytes, &size);
	fclose(file);
	if (error == 0 && looks_like_json(saved->bytes, size))
		error = from_json(&saved->bytes, &size);
	if (error == 0)
		error = document_decode(&saved->document, (const uint8_t *)saved->bytes, size);
	if (error != 0)
		free(saved->bytes);
	return error;
}

void saved_free(struct saved *saved)
{
	document_free(&saved->document);
	free(saved->bytes);
}

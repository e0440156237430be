/* SPDX-License-Identifier: MIT */
/* json_document.h - documents for unit tests of the readers, written as JSON. */
#ifndef SHMBUS_TESTS_JSON_DOCUMENT_H
#define SHMBUS_TESTS_JSON_DOCUMENT_H

#include <stdlib.h>
#include <string.h>

#include "saved.h"

struct json_document {
	struct document document;
	msgpack_sbuffer bytes;
};

/* Ends the test where the text is no JSON. In it ' stands for ". */
static inline void json_document_make(struct json_document *out, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static inline void json_document_make(struct json_document *out, const char *format, ...)
{
	msgpack_packer packer;
	va_list arguments;
	json_error_t error;
	json_t *value;
	char *text = NULL;

	va_start(arguments, format);
	cr_assert_geq(vasprintf(&text, format, arguments), 0);
	va_end(arguments);
	for (char *quote = text; (quote = strchr(quote, '\'')) != NULL;)
		*quote = '"';
	value = json_loads(text, JSON_DECODE_ANY, &error);
	cr_assert_not_null(value, "%s at %d of %s", error.text, error.position, text);
	msgpack_sbuffer_init(&out->bytes);
	msgpack_packer_init(&packer, &out->bytes, msgpack_sbuffer_write);
	saved_pack(&packer, value);
	json_decref(value);
	free(text);
	cr_assert_eq(
		document_decode(&out->document, (const uint8_t *)out->bytes.data, out->bytes.size),
		0);
}

static inline void json_document_free(struct json_document *document)
{
	document_free(&document->document);
	msgpack_sbuffer_destroy(&document->bytes);
}

#endif /* SHMBUS_TESTS_JSON_DOCUMENT_H */

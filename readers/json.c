/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "json.h"

struct printer {
	FILE *out;
	int indent;
};

/* Jansson leaves DEL and C1 (c2 80 to c2 9f) as they are; a terminal would obey them. */
static void print_quoted(FILE *out, const char *quoted)
{
	for (const unsigned char *c = (const unsigned char *)quoted; *c != '\0'; c++) {
		if (c[0] == 0x7f)
			fputs("\\u007f", out);
		else if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
			fprintf(out, "\\u%04x", *++c);
		else
			fputc(*c, out);
	}
}

/* Jansson does the quoting; bytes that are no UTF-8 are replaced. */
static void print_text(struct printer *printer, const char *text, size_t length)
{
	json_t *string = json_stringn(text, length);
	char *clean, *quoted;

	if (string == NULL && (clean = malloc(length + 1)) != NULL) {
		for (size_t i = 0; i < length; i++)
			clean[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
		string = json_stringn(clean, length);
		free(clean);
	}
	quoted = string != NULL ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
	print_quoted(printer->out, quoted != NULL ? quoted : "\"\"");
	free(quoted);
	json_decref(string);
}

/* The shortest text that reads back as the same number. */
static void print_real(struct printer *printer, double value)
{
	char text[40];

	if (!isfinite(value)) {
		fputs("null", printer->out);
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	fputs(text, printer->out);
	if (strcspn(text, ".en") == strlen(text))
		fputs(".0", printer->out);
}

static void new_line(struct printer *printer, int depth)
{
	if (printer->indent != 0)
		fprintf(printer->out, "\n%*s", printer->indent * depth, "");
}

static void print_value(struct printer *printer, const msgpack_object *value, int depth);

static bool scalar_array(const msgpack_object *value)
{
	for (uint32_t i = 0; i < value->via.array.size; i++)
		if (value->via.array.ptr[i].type == MSGPACK_OBJECT_MAP ||
		    value->via.array.ptr[i].type == MSGPACK_OBJECT_ARRAY)
			return false;
	return true;
}

static void print_array(struct printer *printer, const msgpack_object *value, int depth)
{
	bool scalars = scalar_array(value); /* bucket counts stay in one line */

	fputc('[', printer->out);
	for (uint32_t i = 0; i < value->via.array.size; i++) {
		if (i != 0)
			fputs(scalars && printer->indent != 0 ? ", " : ",", printer->out);
		if (!scalars)
			new_line(printer, depth + 1);
		print_value(printer, &value->via.array.ptr[i], depth + 1);
	}
	if (!scalars)
		new_line(printer, depth);
	fputc(']', printer->out);
}

static void print_map(struct printer *printer, const msgpack_object *value, int depth)
{
	fputc('{', printer->out);
	for (uint32_t i = 0; i < value->via.map.size; i++) {
		const msgpack_object_kv *pair = &value->via.map.ptr[i];

		if (i != 0)
			fputc(',', printer->out);
		new_line(printer, depth + 1);
		if (pair->key.type == MSGPACK_OBJECT_STR)
			print_text(printer, pair->key.via.str.ptr, pair->key.via.str.size);
		else
			fputs("\"?\"", printer->out);
		fputs(printer->indent != 0 ? ": " : ":", printer->out);
		print_value(printer, &pair->val, depth + 1);
	}
	if (value->via.map.size != 0)
		new_line(printer, depth);
	fputc('}', printer->out);
}

static void print_value(struct printer *printer, const msgpack_object *value, int depth)
{
	switch (value->type) {
	case MSGPACK_OBJECT_BOOLEAN:
		fputs(value->via.boolean ? "true" : "false", printer->out);
		break;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		fprintf(printer->out, "%" PRIu64, value->via.u64);
		break;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		fprintf(printer->out, "%" PRId64, value->via.i64);
		break;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		print_real(printer, value->via.f64);
		break;
	case MSGPACK_OBJECT_STR:
		print_text(printer, value->via.str.ptr, value->via.str.size);
		break;
	case MSGPACK_OBJECT_ARRAY:
		print_array(printer, value, depth);
		break;
	case MSGPACK_OBJECT_MAP:
		print_map(printer, value, depth);
		break;
	default:
		fputs("null", printer->out);
	}
}

void json_print(FILE *out, const msgpack_object *value, int indent)
{
	struct printer printer = {out, indent};

	print_value(&printer, value, 0);
}

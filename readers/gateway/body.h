/* SPDX-License-Identifier: MIT */
/*
 * body.h - text or bytes that grow while they are written: bodies of answers, frames of streams.
 *
 * Without memory a body is `failed` and takes nothing more; who wrote it looks once, at the end.
 */
#ifndef SHMBUS_GATEWAY_BODY_H
#define SHMBUS_GATEWAY_BODY_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <msgpack.h>

struct body {
	char *data; /* no NUL at the end */
	size_t size;
	size_t capacity;
	bool failed;
};

#define BODY_EMPTY ((struct body){NULL, 0, 0, false})

void body_free(struct body *body);

void body_bytes(struct body *body, const void *bytes, size_t size);
void body_text(struct body *body, const char *text);
__attribute__((format(printf, 2, 3))) void body_printf(struct body *body, const char *format, ...);
void body_u64(struct body *body, uint64_t value);
void body_i64(struct body *body, int64_t value);

/* The shortest text that reads back as the same number; what is not finite: NaN, +Inf, -Inf. */
void body_real(struct body *body, double value);

/* ---- JSON ---- */

/* In quotes; controls are escaped, each byte that is no UTF-8 becomes U+FFFD. */
void body_json_text(struct body *body, const char *text, size_t length);

/* As body_real(), with null for what is not finite. */
void body_json_real(struct body *body, double value);

/* Any value of a snapshot, with the same keys in the same order, in one line. */
void body_json_value(struct body *body, const msgpack_object *value);

#endif /* SHMBUS_GATEWAY_BODY_H */

/* SPDX-License-Identifier: MIT */
/* json.h - a decoded value as JSON: same keys, same order, numbers to the last digit. */
#ifndef SHMBUS_READERS_JSON_H
#define SHMBUS_READERS_JSON_H

#include <stdio.h>

#include <msgpack.h>

/* `indent` spaces a level; 0: all in one line. No newline at the end. */
void json_print(FILE *out, const msgpack_object *value, int indent);

#endif /* SHMBUS_READERS_JSON_H */

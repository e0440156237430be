/* SPDX-License-Identifier: MIT */
/* saved.h - a snapshot that was saved in a file, as JSON or as msgpack. */
#ifndef SHMBUS_READERS_SAVED_H
#define SHMBUS_READERS_SAVED_H

#include <jansson.h>

#include "document.h"

struct saved {
	struct document document;
	char *bytes;
};

/* Reads what 'shmbus snapshot' or 'shmbus snapshot --msgpack' wrote. Returns 0, -EBADMSG (no
 * snapshot), -EFBIG, -ENOMEM, or what open(2) and read(2) say. */
int saved_read(struct saved *saved, const char *path);
void saved_free(struct saved *saved);

/* A JSON value as msgpack. Numbers without a fraction become integers, as in a snapshot. */
void saved_pack(msgpack_packer *packer, const json_t *value);

#endif /* SHMBUS_READERS_SAVED_H */

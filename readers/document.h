/* SPDX-License-Identifier: MIT */
/*
 * document.h - the snapshot, decoded. Who can write to /dev/shm can make a reader see any bytes,
 * so the document is walked and bounded before msgpack-c allocates anything for it.
 */
#ifndef SHMBUS_READERS_DOCUMENT_H
#define SHMBUS_READERS_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <msgpack.h>

#include <shmbus/snapshot.h>

#define DOCUMENT_DEPTH_MAX 32

struct document {
	struct shmbus_snapshot snapshot;
	msgpack_zone zone;
	msgpack_object root;
};

/* Whether the bytes are one well-formed msgpack value of bounded depth, and nothing more. */
bool document_valid(const uint8_t *data, size_t size);

/* Decodes bytes, which must stay while the document is used. Returns 0, -EBADMSG or -ENOMEM. */
int document_decode(struct document *document, const uint8_t *data, size_t size);

/* Reads and decodes the newest snapshot; what shmbus_snapshot_read() and decode return. */
int document_read(struct document *document, struct shmbus_snapshot_reader *reader);
void document_free(struct document *document);

/* A member of a map, NULL where there is none or `map` is no map. */
const msgpack_object *member(const msgpack_object *map, const char *key);

/* Numbers and texts of members, with what stands for an absent or another one. */
double member_real(const msgpack_object *map, const char *key, double absent);
uint64_t member_u64(const msgpack_object *map, const char *key, uint64_t absent);
/* A truth: 1, 0, or -1 where it is absent or something else. */
int member_bool(const msgpack_object *map, const char *key);
/* Text without what a terminal must not get: controls (C0, DEL, C1) and what is no UTF-8 become
 * '?'. Cut to `size` between characters. Returns out. */
const char *text_clean(const char *text, size_t length, char *out, size_t size);
/* The cleaned text in `out`; "" where absent. */
const char *member_text(const msgpack_object *map, const char *key, char *out, size_t size);
/* The elements of an array member. */
size_t member_array(const msgpack_object *map, const char *key, const msgpack_object **elements);

#endif /* SHMBUS_READERS_DOCUMENT_H */

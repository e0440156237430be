/* SPDX-License-Identifier: MIT */
/* packed.h - documents for unit tests of the readers, packed by hand into one buffer. */
#ifndef SHMBUS_TESTS_PACKED_H
#define SHMBUS_TESTS_PACKED_H

#include <string.h>

#include <msgpack.h>

static msgpack_sbuffer buffer;
static msgpack_packer packer;

static inline void packed_begin(void)
{
	msgpack_sbuffer_init(&buffer);
	msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
}

static inline void packed_end(void)
{
	msgpack_sbuffer_destroy(&buffer);
}

static inline void text(const char *value)
{
	msgpack_pack_str(&packer, strlen(value));
	msgpack_pack_str_body(&packer, value, strlen(value));
}

static inline void pair(const char *key, const char *value)
{
	text(key);
	text(value);
}

static inline void number(const char *key, uint64_t value)
{
	text(key);
	msgpack_pack_uint64(&packer, value);
}

#endif /* SHMBUS_TESTS_PACKED_H */

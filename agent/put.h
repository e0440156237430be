/* SPDX-License-Identifier: MIT */
/*
 * put.h - numbers as msgpack, straight into memory that was reserved for them.
 *
 * A timer is some sixty numbers and a few hundred buckets, and a busy bus has thousands of them
 * to encode at every tick. msgpack-c calls its writer twice for each key and once for each
 * number; here a key is a constant that is copied, and a number a few instructions. What comes
 * out is what msgpack-c makes of the same values.
 */
#ifndef SHMBUS_AGENT_PUT_H
#define SHMBUS_AGENT_PUT_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <msgpack.h>

#define PUT_NUMBER_MAX 9u /* bytes of one */
#define PUT_TEXT_MAX 5u   /* bytes before a text */

/* What is encoded. Where memory runs out it is cut short, and says so until it is cleared. */
struct put_buffer {
	msgpack_sbuffer bytes;
	bool cut;
};

/* A packer's callback; packers that timers are encoded with have this one. */
static inline int put_buffer_write(void *data, const char *bytes, size_t size)
{
	struct put_buffer *buffer = data;
	int error = msgpack_sbuffer_write(&buffer->bytes, bytes, size);

	buffer->cut |= error != 0;
	return error;
}

/* Says that something is left out of what a packer encodes. */
static inline void put_buffer_cut(const msgpack_packer *packer)
{
	((struct put_buffer *)packer->data)->cut = true;
}

static inline void put_buffer_clear(struct put_buffer *buffer)
{
	msgpack_sbuffer_clear(&buffer->bytes);
	buffer->cut = false;
}

/* Where the next byte goes. Who uses it has reserved enough. */
struct put {
	uint8_t *at;
};

/* Makes room for `bytes` at the end of a buffer. False: no memory; the buffer is cut. */
static inline bool put_begin(struct put *put, struct put_buffer *cuttable, size_t bytes)
{
	msgpack_sbuffer *buffer = &cuttable->bytes;

	if (buffer->alloc - buffer->size < bytes) {
		size_t alloc = 2 * buffer->alloc + bytes;
		char *data = realloc(buffer->data, alloc);

		if (data == NULL) {
			cuttable->cut = true;
			return false;
		}
		buffer->data = data;
		buffer->alloc = alloc;
	}
	put->at = (uint8_t *)buffer->data + buffer->size;
	return true;
}

/* What was put since is part of the buffer. */
static inline void put_end(const struct put *put, struct put_buffer *buffer)
{
	buffer->bytes.size = (size_t)(put->at - (uint8_t *)buffer->bytes.data);
}

/* A type's byte, and a number of 1 << log bytes, big-endian. */
static inline void put_typed(struct put *put, uint8_t type, uint64_t value, unsigned log)
{
	uint64_t big = __builtin_bswap64(value << (64 - (8u << log)));

	put->at[0] = type;
	memcpy(put->at + 1, &big, sizeof big); /* what is too much is overwritten */
	put->at += 1 + (1u << log);
}

static inline void put_number(struct put *put, uint64_t value)
{
	if (value < 0x80)
		*put->at++ = (uint8_t)value;
	else if (value <= UINT8_MAX)
		put_typed(put, 0xcc, value, 0);
	else if (value <= UINT16_MAX)
		put_typed(put, 0xcd, value, 1);
	else if (value <= UINT32_MAX)
		put_typed(put, 0xce, value, 2);
	else
		put_typed(put, 0xcf, value, 3);
}

/* Maps of less than 16 keys. */
static inline void put_map(struct put *put, uint32_t keys)
{
	*put->at++ = (uint8_t)(0x80 | keys);
}

static inline void put_array(struct put *put, uint32_t length)
{
	if (length < 16)
		*put->at++ = (uint8_t)(0x90 | length);
	else
		put_typed(put, 0xdc, length, 1); /* there are 2064 buckets at most */
}

/* A constant of less than 32 characters: the compiler knows its length. */
static inline __attribute__((always_inline)) void put_text(struct put *put, const char *text)
{
	size_t length = strlen(text);

	put->at[0] = (uint8_t)(0xa0 | length);
	memcpy(put->at + 1, text, length);
	put->at += 1 + length;
}

/* Any text of less than 4 GiB. */
static inline __attribute__((always_inline)) void put_span(struct put *put, const char *text,
							   size_t length)
{
	if (length < 32)
		*put->at++ = (uint8_t)(0xa0 | length);
	else if (length <= UINT8_MAX)
		put_typed(put, 0xd9, length, 0);
	else if (length <= UINT16_MAX)
		put_typed(put, 0xda, length, 1);
	else
		put_typed(put, 0xdb, length, 2);
	memcpy(put->at, text, length);
	put->at += length;
}

static inline __attribute__((always_inline)) void put_u64(struct put *put, const char *key,
							  uint64_t value)
{
	put_text(put, key);
	put_number(put, value);
}

static inline __attribute__((always_inline)) void put_bool(struct put *put, const char *key,
							   bool value)
{
	put_text(put, key);
	*put->at++ = value ? 0xc3 : 0xc2;
}

/* A number that is not finite must not get out; callers rule it out, this makes it null. */
static inline __attribute__((always_inline)) void put_real(struct put *put, const char *key,
							   double value)
{
	uint64_t bits;

	put_text(put, key);
	if (!isfinite(value)) {
		*put->at++ = 0xc0;
		return;
	}
	memcpy(&bits, &value, sizeof bits);
	put_typed(put, 0xcb, bits, 3);
}

#endif /* SHMBUS_AGENT_PUT_H */

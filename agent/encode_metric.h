/* SPDX-License-Identifier: MIT */
/* encode_metric.h - one metric as a msgpack map, of a session or of the bus totals. */
#ifndef SHMBUS_AGENT_ENCODE_METRIC_H
#define SHMBUS_AGENT_ENCODE_METRIC_H

#include <math.h>
#include <string.h>

#include <msgpack.h>

#include "put.h"
#include "totals.h"

/* Packs a text. These are for packers that write to a struct put_buffer. */
static inline void pack_span(msgpack_packer *packer, const char *text, size_t length)
{
	struct put put;

	if (!put_begin(&put, packer->data, PUT_TEXT_MAX + length))
		return;
	put_span(&put, text, length);
	put_end(&put, packer->data);
}

/* A string, a key mostly. */
static inline void pack_text(msgpack_packer *packer, const char *text)
{
	pack_span(packer, text, strlen(text));
}

static inline void pack_u64(msgpack_packer *packer, const char *key, uint64_t value)
{
	size_t length = strlen(key);
	struct put put;

	if (!put_begin(&put, packer->data, PUT_TEXT_MAX + length + PUT_NUMBER_MAX))
		return;
	put_span(&put, key, length);
	put_number(&put, value);
	put_end(&put, packer->data);
}

static inline void pack_bool(msgpack_packer *packer, const char *key, bool value)
{
	pack_text(packer, key);
	value ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
}

/* A number that is not finite must not get out; callers rule it out, this makes it null. */
static inline void pack_real(msgpack_packer *packer, const char *key, double value)
{
	pack_text(packer, key);
	if (isfinite(value))
		msgpack_pack_double(packer, value);
	else
		msgpack_pack_nil(packer);
}

static inline void pack_string(msgpack_packer *packer, const char *key, const char *value)
{
	pack_text(packer, key);
	pack_text(packer, value);
}

/* What of a metric is encoded, wherever it comes from. */
struct metric_view {
	const struct shmbus_metric_entry *entry;
	struct series *series;       /* timers */
	const struct slices *slices; /* timers; NULL: no time windows */
	bool deadline;               /* there is a period, or there are many */
	uint64_t period_ns;          /* 0: none, or many */
	uint32_t quantum;            /* 0: no cycle */
	struct series *wait;         /* the cycle's WAIT; NULL: unknown */
	bool has_xruns;
	uint64_t xruns;
	bool present; /* it has a value */
	bool real;    /* the value is `number`, else `integer` */
	double number;
	int64_t integer;
	const uint64_t *states; /* the bus totals: sessions in each state */
	uint64_t sessions;      /* the bus totals: how many ever had it; 0: a session's */
};

void encode_metric(msgpack_packer *packer, const struct metric_view *view,
		   struct window_scratch *scratch);

#endif /* SHMBUS_AGENT_ENCODE_METRIC_H */

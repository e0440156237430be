/* SPDX-License-Identifier: MIT */
/* ck.c - Concurrency Kit's single-producer ring: 16 bytes put in, and taken out in between. */
#include <ck_ring.h>
#include <string.h>

#include <shmbus/clock.h>

#include "bench.h"
#include "peer.h"

#define CAPACITY 16384u

struct sample {
	uint64_t value;
	uint64_t tag;
};

CK_RING_PROTOTYPE(sample, sample)

static ck_ring_t ring;
static struct sample slots[CAPACITY];

static int ck_open(char *reason, size_t size)
{
	(void)reason;
	(void)size;
	ck_ring_init(&ring, CAPACITY);
	memset(slots, 0, sizeof(slots));
	return 0;
}

static int ck_run(uint32_t events, double *ns)
{
	uint64_t ticks = 0;

	for (uint32_t done = 0; done < events;) {
		uint32_t batch = events - done < CAPACITY - 1 ? events - done : CAPACITY - 1;
		uint64_t start = shmbus_now();
		struct sample sample;

		for (uint32_t i = 0; i < batch; i++) {
			sample = (struct sample){i, 2u * i};
			ck_ring_enqueue_spsc_sample(&ring, slots, &sample);
		}
		ticks += shmbus_now() - start;
		for (uint32_t i = 0; i < batch; i++)
			if (!ck_ring_dequeue_spsc_sample(&ring, slots, &sample) ||
			    sample.value != i)
				return -1;
		done += batch;
	}
	*ns = (double)ticks * bench_ns_per_tick() / events;
	return 0;
}

static void ck_close(void)
{
}

const struct peer peer_ck = {ck_open, ck_run, ck_close};

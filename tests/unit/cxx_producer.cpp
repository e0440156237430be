/* SPDX-License-Identifier: MIT */
/* cxx_producer.cpp - a C++17 program that records, and reads from shared memory what it wrote. */
#include <cstring>
#include <string>
#include <thread>

#include <shmbus/consumer.h>
#include <shmbus/producer.h>
#include <shmbus/snapshot.h>

#include "tap.h"

static shmbus_metric define(shmbus_session *session, const char *name, shmbus_kind kind)
{
	shmbus_metric_options options = {};
	shmbus_metric metric = 0;

	options.name = name;
	options.kind = kind;
	tap_ok(shmbus_metric_define(session, &options, &metric) == 0, "define %s", name);
	return metric;
}

struct metrics {
	shmbus_metric work, requests, load;
	struct shmbus_cycle cycle;
};

static void record(shmbus_writer *writer, metrics &m)
{
	uint64_t start = shmbus_now();

	tap_check(shmbus_record(writer, m.work, start));
	tap_check(shmbus_record_value_at(writer, m.work, 42, start));
	tap_check(shmbus_cycle(writer, &m.cycle, start, start + 10, start + 30, 128));
	tap_check(shmbus_cycle(writer, &m.cycle, start, start + 10, start + 30, 256));
	shmbus_correlate(writer, 99);
	shmbus_add(writer, m.requests, 3);
	shmbus_set_real(writer, m.load, 0.25);
	shmbus_xrun(writer, &m.cycle);
}

static uint64_t drain(shmbus_consumer_writer &writer, uint64_t &controls)
{
	uint64_t value, tag, samples = 0;

	controls = 0;
	while (shmbus_ring_peek(&writer.ring, writer.ring.position, &value, &tag)) {
		(shmbus_tag_metric(tag) == SHMBUS_CONTROL ? controls : samples)++;
		writer.ring.position++;
	}
	shmbus_ring_release(writer.head, writer.ring.position);
	return samples;
}

static void read_back(const shmbus_session *session, const metrics &m)
{
	static shmbus_consumer consumer;
	uint64_t bits, controls;
	double load;

	if (!tap_check(shmbus_consumer_attach(&consumer, shmbus_session_segment(session)) == 0))
		return;
	tap_check(consumer.writer_count == 1 && std::string(consumer.writers[0]->name) == "thread");
	tap_ok(drain(*consumer.writers[0], controls) == 6, "all samples");
	tap_ok(controls == 2, "the quantum's change and the correlation id");
	tap_check(consumer.writers[0]->slots[m.requests].load() == 3);
	tap_check(consumer.writers[0]->slots[m.cycle.xruns].load() == 1);
	bits = consumer.writers[0]->slots[m.load].load();
	std::memcpy(&load, &bits, sizeof load);
	tap_check(load == 0.25);
	tap_check(shmbus_consumer_alive(&consumer) == 1);
	shmbus_consumer_detach(&consumer);
}

int main()
{
	shmbus_session_options options = {};
	shmbus_writer_options ring = {};
	shmbus_metric_options gauge = {};
	shmbus_cycle_options audio = {};
	shmbus_snapshot_reader *reader = nullptr;
	shmbus_writer_stats stats;
	shmbus_session *session;
	metrics m = {};

	options.service = "cxx";
	tap_check(shmbus_session_open(&options, &session) == 0);
	m.work = define(session, "work", SHMBUS_TIMER);
	m.requests = define(session, "requests", SHMBUS_COUNTER);
	gauge.name = "load";
	gauge.kind = SHMBUS_GAUGE;
	gauge.real = true;
	tap_check(shmbus_metric_define(session, &gauge, &m.load) == 0);
	audio.name = "audio";
	audio.rate_hz = 48000;
	audio.quantum = 128;
	tap_check(shmbus_cycle_define(session, &audio, &m.cycle) == 0);
	tap_check(shmbus_label_set(session, "language", "C++") == 0);

	std::thread([&] {
		shmbus_writer *writer;

		ring.name = "thread";
		ring.capacity = 64;
		tap_check(shmbus_writer_open(session, &ring, &writer) == 0);
		record(writer, m);
		shmbus_writer_stats_get(writer, &stats);
		shmbus_writer_close(writer);
	}).join();
	tap_check(stats.attempted == 6 && stats.recorded == 6 && stats.dropped == 0);
	read_back(session, m);
	shmbus_session_close(session);
	tap_check(shmbus_snapshot_open(nullptr, &reader) == 0);
	shmbus_snapshot_close(reader);
	return tap_done();
}

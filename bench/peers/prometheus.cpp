/* SPDX-License-Identifier: MIT */
/* prometheus.cpp - prometheus-cpp: an observation into a histogram of ten buckets. */
#include <chrono>
#include <memory>

#include <prometheus/histogram.h>

#include "peer.h"

namespace
{

std::unique_ptr<prometheus::Histogram> histogram;

int prometheus_open(char *, size_t)
{
	histogram = std::make_unique<prometheus::Histogram>(prometheus::Histogram::BucketBoundaries{
		1e3, 1e4, 1e5, 2e5, 3e5, 4e5, 5e5, 1e6, 1e7, 1e8});
	return 0;
}

int prometheus_run(uint32_t events, double *ns)
{
	const auto start = std::chrono::steady_clock::now();

	for (uint32_t i = 0; i < events; i++)
		histogram->Observe(i * 100.0);
	const std::chrono::duration<double, std::nano> took =
		std::chrono::steady_clock::now() - start;
	*ns = took.count() / events;
	return 0;
}

void prometheus_close()
{
	histogram.reset();
}

} // namespace

extern "C" const struct peer peer_prometheus = {prometheus_open, prometheus_run, prometheus_close};

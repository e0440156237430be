/* SPDX-License-Identifier: MIT */
/* pcp.c - Performance Co-Pilot's memory-mapped values: a count and a sum for each event. */
#include <pcp/pmapi.h>

#include <pcp/mmv_stats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "peer.h"

static char directory[] = "/tmp/shmbus-bench-pcp-XXXXXX";
static const char template[] = "/tmp/shmbus-bench-pcp-XXXXXX";
static mmv_registry_t *registry;
static void *values;
static pmAtomValue *count, *sum;

static void pcp_close(void)
{
	char path[96];

	if (registry)
		mmv_stats_free(registry);
	registry = NULL;
	snprintf(path, sizeof(path), "%s/mmv/shmbus_bench", directory);
	unlink(path);
	snprintf(path, sizeof(path), "%s/mmv", directory);
	rmdir(path);
	rmdir(directory);
}

static int pcp_open(char *reason, size_t size)
{
	const pmUnits units = {0};
	char path[96] = "";

	memcpy(directory, template, sizeof(directory));
	if (mkdtemp(directory))
		snprintf(path, sizeof(path), "%s/mmv", directory);
	if (path[0] == '\0' || mkdir(path, 0700) != 0 || setenv("PCP_TMP_DIR", directory, 1) != 0) {
		snprintf(reason, size, "no directory for its file");
		return -1;
	}
	registry = mmv_stats_registry("shmbus_bench", 1, 0);
	if (registry &&
	    mmv_stats_add_metric(registry, "count", 1, MMV_TYPE_U64, MMV_SEM_COUNTER, units,
				 (int)MMV_INDOM_NULL, "", "") >= 0 &&
	    mmv_stats_add_metric(registry, "sum", 2, MMV_TYPE_U64, MMV_SEM_COUNTER, units,
				 (int)MMV_INDOM_NULL, "", "") >= 0)
		values = mmv_stats_start(registry);
	if (values) {
		count = mmv_lookup_value_desc(values, "count", NULL);
		sum = mmv_lookup_value_desc(values, "sum", NULL);
	}
	if (count && sum)
		return 0;
	snprintf(reason, size, "libpcp_mmv could not make its file");
	pcp_close();
	return -1;
}

static int pcp_run(uint32_t events, double *ns)
{
	uint64_t start = bench_now_ns();

	for (uint32_t i = 0; i < events; i++) {
		mmv_inc_value(values, count, 1);
		mmv_inc_value(values, sum, i);
	}
	*ns = (double)(bench_now_ns() - start) / events;
	return 0;
}

const struct peer peer_pcp = {pcp_open, pcp_run, pcp_close};

/* SPDX-License-Identifier: MIT */
/* probe.h - the configured services, looked at now and then. */
#ifndef SHMBUS_GATEWAY_PROBE_H
#define SHMBUS_GATEWAY_PROBE_H

#include "gateway.h"
#include "probe_state.h"

struct probes;

/* Begins at once, spread over a second. Returns 0 or a negative errno. */
int probes_new(struct gateway *gateway, struct probes **out);
void probes_free(struct probes *probes); /* NULL is allowed */

size_t probes_count(const struct probes *probes);
const struct service_options *probes_service(const struct probes *probes, size_t i);
const struct probe_state *probes_state(const struct probes *probes, size_t i);

/* Whether it is the one to be used: of a group the active one; without a group, if it has not
 * failed. */
bool probes_active(const struct probes *probes, size_t i);

/* The i-th group's name, in the order of the services, NULL beyond the last. *active: the index
 * of its active service, probes_count() where there is none. */
const char *probes_group(const struct probes *probes, size_t i, size_t *active);

/* Grows with each result: what was made of one count is not to be made again. */
uint64_t probes_version(const struct probes *probes);

/* Forgets all about a service, and probes it at once. false: there is none of that name. */
bool probes_reset(struct probes *probes, const char *name, size_t *out);

#endif /* SHMBUS_GATEWAY_PROBE_H */

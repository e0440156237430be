/* SPDX-License-Identifier: MIT */
/* derive.h - values computed from a session's committed metrics. The publisher. */
#ifndef SHMBUS_AGENT_DERIVE_H
#define SHMBUS_AGENT_DERIVE_H

#include "session.h"

/* Computes one derived value. False where it has none: a division by zero, an operand absent. */
bool derive(const struct session *session, const struct shmbus_derived_entry *entry, double *out);

#endif /* SHMBUS_AGENT_DERIVE_H */

/* SPDX-License-Identifier: MIT */
/* snapshot.h - the newest snapshot as it is. */
#ifndef SHMBUS_GATEWAY_SNAPSHOT_H
#define SHMBUS_GATEWAY_SNAPSHOT_H

#include "request.h"

/* GET /api/v1/snapshot: as JSON, or as msgpack where that is asked for (application/msgpack). */
enum MHD_Result handle_snapshot(struct request *request);

#endif /* SHMBUS_GATEWAY_SNAPSHOT_H */

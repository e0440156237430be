/* SPDX-License-Identifier: MIT */
/* admin.h - who may change something. */
#ifndef SHMBUS_GATEWAY_ADMIN_H
#define SHMBUS_GATEWAY_ADMIN_H

#include "request.h"

enum admin { ADMIN_YES, ADMIN_NO_TOKEN, ADMIN_WRONG_TOKEN, ADMIN_NOBODY };

/*
 * A request over a Unix socket may: the socket's mode says who can send one. Over TCP who has the
 * token; without a token nobody. `authorization`: the header, NULL where there is none.
 */
enum admin admin_check(bool local, const char *authorization, const char *token);

/* True, or false after the answer (401, 403), whose result is in *out. */
bool admin_or_answer(struct request *request, enum MHD_Result *out);

#endif /* SHMBUS_GATEWAY_ADMIN_H */

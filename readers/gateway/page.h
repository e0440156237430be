/* SPDX-License-Identifier: MIT */
/* page.h - the live page, whose files are part of the program. */
#ifndef SHMBUS_GATEWAY_PAGE_H
#define SHMBUS_GATEWAY_PAGE_H

#include "request.h"

/* GET / and the page's files. */
enum MHD_Result handle_page(struct request *request);

#endif /* SHMBUS_GATEWAY_PAGE_H */

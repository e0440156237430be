/* SPDX-License-Identifier: MIT */
/*
 * log_state.h - what the next log on the same file must know: which finished sessions it has.
 *
 * The file itself is the truth. FILE.state beside it adds the records that were moved away with
 * older files, and how far the file need not be read again. It is saved before a rotation and now
 * and then; what was written after that is read back from the file.
 */
#ifndef SHMBUS_READERS_LOG_STATE_H
#define SHMBUS_READERS_LOG_STATE_H

#include "log_file.h"

/* Marks what the file has as written; cuts a last line that was not finished. */
void log_state_load(struct log_file *file);

/* Saves FILE.state; why not is in save_error. */
void log_state_save(struct log_file *file);

/* The file begins anew: what an older one had is forgotten. */
void log_state_forget(const struct log_file *file);

#endif /* SHMBUS_READERS_LOG_STATE_H */

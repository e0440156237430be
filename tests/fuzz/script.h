/* SPDX-License-Identifier: MIT */
/*
 * script.h - a fuzz input as a hostile producer: a little program that writes to a file in shared
 * memory, cuts it, and says in between what the other side does with it.
 *
 * The low four bits of a byte are the operation; numbers are little-endian:
 *
 *   0  WRITE  offset:u32 length:u16 bytes   into the file, which grows as it must
 *   1  SIZE   size:u32                      cuts the file, or makes it longer
 *   2  LATER  n:u8                          the WRITE or SIZE that follows happens in the middle
 *                                           of a later step, right before its n-th pread(2)
 *   3.. a step of the target's, with arguments that the target takes
 *
 * So an image is what WRITEs make of it, without its zeros, and stays small; and what was read
 * once can be another thing when it is read again.
 */
#ifndef SHMBUS_TESTS_SCRIPT_H
#define SHMBUS_TESTS_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRIPT_WRITE 0
#define SCRIPT_SIZE 1
#define SCRIPT_LATER 2
#define SCRIPT_STEP 3

#define SCRIPT_FILE_MAX (256u << 10) /* bytes that a file can have */
#define SCRIPT_STEPS_MAX 48          /* more are not run: time is bounded */

/* The bus of this process: $SHMBUS_BUS (or "fuzz") and the process' number. */
const char *script_bus(void);

/* The one file of this process, of this bus and with this ending; removed at exit. Fills in its
 * name as shm_open(3) takes it. Ends the process where it cannot be made. */
void script_file(const char *ending, char name[80]);
int script_descriptor(void);

/* Starts a script, with an empty file; ends one. */
void script_begin(const uint8_t *data, size_t size);
void script_end(void);

/* In this process LATER changes are made by another thread: from where they stand in the script to
 * its end each is made and taken back again and again, whatever its n. */
void script_race(void);

/* Does what stands before the next step. Returns the step, 0 to steps - 1, or -1 at the end. */
int script_step(int steps);

/* The next argument, of 1 to 8 bytes; 0 past the end. */
uint64_t script_number(size_t bytes);

/* Installs guard.h's handler, and makes SIGBUS outside of a guard a crash like another. */
void script_guard_init(void);

/* A promise; the fuzzer reports where it is broken, in all builds. */
#define promise(condition) ((condition) ? (void)0 : promise_broken(#condition, __FILE__, __LINE__))
_Noreturn void promise_broken(const char *condition, const char *file, int line);

/* What a target consists of; the second is for the driver without libFuzzer. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif /* SHMBUS_TESTS_SCRIPT_H */

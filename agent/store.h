/* SPDX-License-Identifier: MIT */
/*
 * store.h - what outlives the agent: cells in shared memory that only the agent writes, and one
 * number, the epoch, that makes all that was written since the last commit count at once.
 *
 *   /dev/shm/shmbus.<bus>.checkpoint:  struct store_header, then cells, one after the other
 *   a cell:  header | constant | copy 0 | copy 1 | body
 *
 * A cell's constant is written once, when the cell is taken. Its state is in two copies, each
 * with the epoch that it belongs to: a write goes to the copy that does not count, and counts
 * with the next commit. The body is one and is written in place; what may be in it is the
 * business of who uses it. To free a cell is a write too, so that taking, writing and freeing
 * any number of cells happens in one commit or not at all, whenever the agent is killed.
 *
 * The file grows and is never made smaller; cells that are free are taken again. Addresses stay:
 * the file grows within address space that is reserved from the start.
 *
 * A store belongs to one thread at a time. Nothing here is real-time.
 */
#ifndef SHMBUS_AGENT_STORE_H
#define SHMBUS_AGENT_STORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_MAGIC 0x0a0d4b5043534d53ull /* "SMSCPK\r\n" */
#define STORE_VERSION 2u
#define STORE_CLASSES 128u /* sizes of cells: four for each power of two */

/* What a cell holds. The numbers are part of the file. */
enum cell_kind {
	CELL_FREE = 0,
	CELL_AGENT = 1,
	CELL_SESSION = 2,
	CELL_METRIC = 3,
	CELL_SLICES = 4,
	CELL_TOTAL = 5,
	CELL_FINISHED = 6,
	CELL_RECENT = 7,
	CELL_KINDS,
};

struct cell_copy {
	uint64_t epoch; /* it counts from this commit on; 0: never */
	uint32_t kind;  /* enum cell_kind */
	uint32_t size;  /* bytes that are used of the copy */
};

/* In the file; a multiple of 64 bytes. */
struct cell_header {
	uint64_t size; /* of the cell, this header included; never changes */
	uint32_t constant_size;
	uint32_t copy_size;
	uint64_t body_size;
	struct cell_copy copies[2];
	uint64_t next_free; /* of the running agent; means nothing to the next one */
};

_Static_assert(sizeof(struct cell_header) == 64, "a cell's header is one cache line");

struct store_header {
	uint64_t magic;
	uint32_t version;
	uint32_t header_size;
	_Atomic uint64_t epoch; /* of the last commit */
	_Atomic uint64_t used;  /* bytes of the file that hold cells, this header included */
	uint64_t reserved[4];
};

_Static_assert(sizeof(struct store_header) == 64, "store header");

struct store {
	struct store_header *header; /* NULL: there is no store; every taking fails */
	uint8_t *base;
	uint64_t size;     /* of the file */
	uint64_t reserved; /* bytes of address space */
	int fd;
	bool found;                   /* there was one, with something in it */
	uint64_t free[STORE_CLASSES]; /* offsets of the first free cell; 0: none */
	struct cell_header *freed;    /* since the last commit: not to be taken yet */
	uint64_t failures;            /* takings that found no room */
	char path[96];
	char reason[192]; /* what store_open() has to say; "" for nothing */
};

/* A cell that is in use, as its owner holds it. All zeros: none. */
struct cell {
	struct cell_header *header;
	uint64_t epoch; /* of the last write */
	uint32_t last;  /* the copy that it went to */
};

/*
 * Opens the bus's store, or makes it. One of another version, or a damaged one, is moved aside
 * (".checkpoint.aside") and `reason` says so. Returns 0, or -errno, with which the agent can run
 * on without.
 */
int store_open(struct store *store, const char *bus);
void store_close(struct store *store);

/* Bytes that the bus's store has now; 0: there is none. It need not be opened. */
size_t store_size(const char *bus);

static inline bool store_is_open(const struct store *store)
{
	return store->header != NULL;
}

/* The next cell that counts after `header` (NULL: the first one), with the handle to write it;
 * NULL after the last. For loading, before the first taking. */
struct cell_header *store_next(struct store *store, struct cell_header *header, struct cell *cell);

/* Takes a cell of at least these sizes. It counts from the commit after its first write on.
 * False: no room. */
bool cell_take(struct store *store, struct cell *cell, const void *constant, uint32_t constant_size,
	       uint32_t copy_size, uint64_t body_size);

static inline bool cell_taken(const struct cell *cell)
{
	return cell->header != NULL;
}

/* Where the next state of the cell is to be written: `size` bytes, at most its copies' size.
 * What is there is undefined. */
void *cell_write(struct store *store, struct cell *cell, enum cell_kind kind, uint32_t size);

/* What was written last. */
const void *cell_read(const struct cell *cell, uint32_t *size);
enum cell_kind cell_kind(const struct cell *cell);

const void *cell_constant(const struct cell *cell);
void *cell_body(const struct cell *cell);

/* Frees the cell with the next commit. Nothing for a cell that was not taken. */
void cell_drop(struct store *store, struct cell *cell);

/* Makes all that was written since the last commit count. */
void store_commit(struct store *store);

#endif /* SHMBUS_AGENT_STORE_H */

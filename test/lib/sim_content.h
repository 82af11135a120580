/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The bytes of a simulated file: a table of 4 KiB blocks, both copied on write, so that the cached
 * and the durable state, and the clones of a disk, share what is equal. A missing block is a hole
 * and reads as zeros. Thread: one.
 */
#include "log/base/bytes.h"

enum { SIM_SECTOR = 512, SIM_BLOCK = 4096, SIM_SECTORS_PER_BLOCK = SIM_BLOCK / SIM_SECTOR };

struct sim_block {
	uint32_t refs;
	uint8_t bytes[SIM_BLOCK];
};
struct sim_content {
	uint32_t refs;
	uint64_t size_bytes;
	size_t block_count;
	struct sim_block **block; /* NULL = hole */
};

struct sim_content *sim_content_new(void);
struct sim_content *sim_content_ref(struct sim_content *c);
void sim_content_unref(struct sim_content *c);
/* Makes *c the only reference to its table, copying it if it is shared. */
struct sim_content *sim_content_own(struct sim_content **c);
/* Reads within the size; returns the bytes read. */
size_t sim_content_read(const struct sim_content *c, void *buf, size_t len, uint64_t pos);
/* Writes and grows the size; *c is made its own first. */
void sim_content_write(struct sim_content **c, const void *buf, size_t len, uint64_t pos);
/* Sets the size; what lies beyond it becomes zeros. */
void sim_content_resize(struct sim_content **c, uint64_t size_bytes);
/* Copies one sector between contents, whatever their sizes. */
void sim_content_copy_sector(struct sim_content **to, const struct sim_content *from,
    uint64_t sector);
void sim_content_get_sector(const struct sim_content *c, uint64_t sector, uint8_t *out);
void sim_content_put_sector(struct sim_content **c, uint64_t sector, const uint8_t *bytes);
/* Turns holes below `end` into blocks of zeros. */
void sim_content_allocate(struct sim_content **c, uint64_t end);
/* Blocks that are not holes; those a write to [pos, pos + len) would add. */
uint64_t sim_content_blocks(const struct sim_content *c);
uint64_t sim_content_missing(const struct sim_content *c, uint64_t pos, uint64_t len);

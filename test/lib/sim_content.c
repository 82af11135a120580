/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/sim_content.h"

#include "test/lib/xmalloc.h"

#include <stdlib.h>

/*
 * Written zeros share one block: a file filled with zeros costs its table alone. Never the only
 * reference.
 */
static struct sim_block zero_block = {.refs = 1};

struct sim_content *sim_content_new(void)
{
	struct sim_content *c = xcalloc(1, sizeof(*c));
	c->refs = 1;
	return c;
}

struct sim_content *sim_content_ref(struct sim_content *c)
{
	c->refs++;
	return c;
}

static void block_unref(struct sim_block *b)
{
	if (b && --b->refs == 0)
		free(b);
}

void sim_content_unref(struct sim_content *c)
{
	if (!c || --c->refs > 0)
		return;
	for (size_t i = 0; i < c->block_count; i++)
		block_unref(c->block[i]);
	free(c->block);
	free(c);
}

struct sim_content *sim_content_own(struct sim_content **c)
{
	struct sim_content *old = *c;
	if (old->refs == 1)
		return old;
	struct sim_content *copy = sim_content_new();
	copy->size_bytes = old->size_bytes;
	copy->block_count = old->block_count;
	copy->block = xcalloc(old->block_count, sizeof(*copy->block));
	for (size_t i = 0; i < old->block_count; i++) {
		copy->block[i] = old->block[i];
		if (copy->block[i])
			copy->block[i]->refs++;
	}
	old->refs--;
	*c = copy;
	return copy;
}

static void reserve(struct sim_content *c, size_t blocks)
{
	if (blocks <= c->block_count)
		return;
	c->block = xrealloc(c->block, blocks * sizeof(*c->block));
	memset(c->block + c->block_count, 0, (blocks - c->block_count) * sizeof(*c->block));
	c->block_count = blocks;
}

/* The block at `index` of a content that is its own, alone and writable. */
static struct sim_block *own_block(struct sim_content *c, size_t index)
{
	reserve(c, index + 1);
	struct sim_block *b = c->block[index];
	if (b && b->refs == 1)
		return b;
	struct sim_block *copy = b ? xmalloc(sizeof(*copy)) : xcalloc(1, sizeof(*copy));
	if (b) {
		memcpy(copy->bytes, b->bytes, SIM_BLOCK);
		b->refs--;
	}
	copy->refs = 1;
	c->block[index] = copy;
	return copy;
}

static void put_zero_block(struct sim_content *c, size_t index)
{
	reserve(c, index + 1);
	block_unref(c->block[index]);
	c->block[index] = &zero_block;
	zero_block.refs++;
}

static bool is_zero_block(const uint8_t *p)
{
	return p[0] == 0 && memcmp(p, p + 1, SIM_BLOCK - 1) == 0;
}

size_t sim_content_read(const struct sim_content *c, void *buf, size_t len, uint64_t pos)
{
	if (pos >= c->size_bytes)
		return 0;
	if (len > c->size_bytes - pos)
		len = (size_t)(c->size_bytes - pos);
	for (size_t done = 0; done < len;) {
		size_t index = (size_t)((pos + done) / SIM_BLOCK),
		    at = (size_t)((pos + done) % SIM_BLOCK);
		size_t n = SIM_BLOCK - at < len - done ? SIM_BLOCK - at : len - done;
		const struct sim_block *b = index < c->block_count ? c->block[index] : NULL;
		if (b)
			memcpy((uint8_t *)buf + done, b->bytes + at, n);
		else
			memset((uint8_t *)buf + done, 0, n);
		done += n;
	}
	return len;
}

void sim_content_write(struct sim_content **c, const void *buf, size_t len, uint64_t pos)
{
	struct sim_content *own = sim_content_own(c);
	for (size_t done = 0; done < len;) {
		size_t index = (size_t)((pos + done) / SIM_BLOCK),
		    at = (size_t)((pos + done) % SIM_BLOCK);
		size_t n = SIM_BLOCK - at < len - done ? SIM_BLOCK - at : len - done;
		const uint8_t *from = (const uint8_t *)buf + done;
		if (n == SIM_BLOCK && is_zero_block(from))
			put_zero_block(own, index);
		else
			memcpy(own_block(own, index)->bytes + at, from, n);
		done += n;
	}
	if (pos + len > own->size_bytes && len > 0)
		own->size_bytes = pos + len;
}

void sim_content_resize(struct sim_content **c, uint64_t size_bytes)
{
	struct sim_content *own = sim_content_own(c);
	size_t keep = (size_t)((size_bytes + SIM_BLOCK - 1) / SIM_BLOCK);
	for (size_t i = keep; i < own->block_count; i++) {
		block_unref(own->block[i]);
		own->block[i] = NULL;
	}
	if (own->block_count > keep)
		own->block_count = keep;
	size_t tail = (size_t)(size_bytes % SIM_BLOCK);
	if (tail > 0 && keep <= own->block_count && own->block[keep - 1])
		memset(own_block(own, keep - 1)->bytes + tail, 0, SIM_BLOCK - tail);
	own->size_bytes = size_bytes;
}

void sim_content_get_sector(const struct sim_content *c, uint64_t sector, uint8_t *out)
{
	size_t index = (size_t)(sector / SIM_SECTORS_PER_BLOCK);
	const struct sim_block *b = index < c->block_count ? c->block[index] : NULL;
	if (b)
		memcpy(out, b->bytes + sector % SIM_SECTORS_PER_BLOCK * SIM_SECTOR, SIM_SECTOR);
	else
		memset(out, 0, SIM_SECTOR);
}

void sim_content_put_sector(struct sim_content **c, uint64_t sector, const uint8_t *bytes)
{
	struct sim_content *own = sim_content_own(c);
	struct sim_block *b = own_block(own, (size_t)(sector / SIM_SECTORS_PER_BLOCK));
	memcpy(b->bytes + sector % SIM_SECTORS_PER_BLOCK * SIM_SECTOR, bytes, SIM_SECTOR);
}

void sim_content_copy_sector(struct sim_content **to, const struct sim_content *from,
    uint64_t sector)
{
	uint8_t bytes[SIM_SECTOR];
	sim_content_get_sector(from, sector, bytes);
	sim_content_put_sector(to, sector, bytes);
}

void sim_content_allocate(struct sim_content **c, uint64_t end)
{
	struct sim_content *own = sim_content_own(c);
	size_t blocks = (size_t)((end + SIM_BLOCK - 1) / SIM_BLOCK);
	reserve(own, blocks);
	for (size_t i = 0; i < blocks; i++) {
		if (!own->block[i])
			put_zero_block(own, i);
	}
}

uint64_t sim_content_blocks(const struct sim_content *c)
{
	uint64_t count = 0;
	for (size_t i = 0; i < c->block_count; i++)
		count += c->block[i] != NULL;
	return count;
}

uint64_t sim_content_missing(const struct sim_content *c, uint64_t pos, uint64_t len)
{
	uint64_t count = 0;
	if (len == 0)
		return 0;
	for (uint64_t i = pos / SIM_BLOCK; i <= (pos + len - 1) / SIM_BLOCK; i++)
		count += i >= c->block_count || !c->block[i];
	return count;
}

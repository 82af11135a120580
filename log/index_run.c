/* SPDX-License-Identifier: Apache-2.0 */
#include "log/index_run.h"

enum { INDEX_FEW = 16, INDEX_FEW_MAX = INDEX_BLOCK / 2, INDEX_TABLE = 16 };

struct spare_block {
	struct spare_block *next;
};

static void spare_push(struct index_spare *spare, void *block)
{
	struct spare_block *b = block;
	b->next = spare->first;
	spare->first = b;
	spare->count++;
}

static void *spare_pop(struct index_spare *spare)
{
	struct spare_block *b = spare ? spare->first : NULL;
	if (!b)
		return NULL;
	ASSERT(spare->count > 0);
	spare->first = b->next;
	spare->count--;
	return b;
}

void index_spare_shrink(struct index_spare *spare, size_t blocks)
{
	for (void *block; blocks > 0 && (block = spare_pop(spare)); blocks--)
		mem_unmap(block, INDEX_BLOCK_BYTES);
}

static enum err grow_few(struct index_run *run, size_t need)
{
	size_t capacity = run->capacity ? run->capacity * 2 : INDEX_FEW;
	while (capacity < need)
		capacity *= 2;
	struct index_entry *grown = mem_realloc(run->few, capacity * sizeof(*grown));
	if (!grown)
		return ERR_NOMEM;
	run->few = grown;
	run->capacity = capacity;
	return ERR_OK;
}

/* The table has room for a power of two of blocks, INDEX_TABLE at least. */
static enum err grow_table(struct index_run *run, size_t blocks)
{
	if (blocks > 0 && (blocks < INDEX_TABLE || (blocks & (blocks - 1)) != 0))
		return ERR_OK;
	size_t room = blocks ? blocks * 2 : INDEX_TABLE;
	struct index_entry **grown = mem_realloc(run->block, room * sizeof(struct index_entry *));
	if (!grown)
		return ERR_NOMEM;
	run->block = grown;
	return ERR_OK;
}

static enum err grow_block(struct index_run *run, struct index_spare *spare)
{
	size_t blocks = run->capacity / INDEX_BLOCK; /* `few` has less than one */
	TRY(grow_table(run, blocks));
	struct index_entry *block = spare_pop(spare);
	if (!block)
		block = mem_map(INDEX_BLOCK_BYTES);
	if (!block)
		return ERR_NOMEM;
	if (blocks == 0) {
		if (run->count > 0)
			memcpy(block, run->few, run->count * sizeof(*block));
		mem_free(run->few);
		run->few = NULL;
	}
	run->block[blocks] = block;
	run->capacity = (blocks + 1) * INDEX_BLOCK;
	return ERR_OK;
}

enum err index_run_reserve(struct index_run *run, size_t need, struct index_spare *spare)
{
	if (need <= run->capacity)
		return ERR_OK;
	if (need <= INDEX_FEW_MAX)
		return grow_few(run, need);
	while (run->capacity < need)
		TRY(grow_block(run, spare));
	return ERR_OK;
}

void index_run_release(struct index_run *run, struct index_spare *spare)
{
	for (size_t i = run->capacity / INDEX_BLOCK; i > 0; i--) {
		if (spare)
			spare_push(spare, run->block[i - 1]);
		else
			mem_unmap(run->block[i - 1], INDEX_BLOCK_BYTES);
	}
	mem_free(run->few);
	mem_free(run->block);
	*run = (struct index_run){0};
}

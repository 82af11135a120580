/* SPDX-License-Identifier: Apache-2.0 */
#include "processor/op/bag.h"

static size_t node_len(size_t key_len, size_t payload_len)
{
	return sizeof(struct bag_node) + key_len + payload_len;
}

static struct bag_node *find(const struct bag *b, struct bytes key)
{
	struct bag_node *n = b->root;
	while (n) {
		int c = bytes_compare(key, bag_key(n));
		if (c == 0)
			return n;
		n = c < 0 ? n->left : n->right;
	}
	return NULL;
}

int64_t bag_count(const struct bag *b, struct bytes key)
{
	const struct bag_node *n = find(b, key);
	return n ? n->count : 0;
}

/* Everything below `key` into *left, the rest into *right. */
static void split(
    struct bag_node *t, struct bytes key, struct bag_node **left, struct bag_node **right)
{
	while (t) {
		if (bytes_compare(bag_key(t), key) < 0) {
			*left = t;
			left = &t->right;
			t = t->right;
		} else {
			*right = t;
			right = &t->left;
			t = t->left;
		}
	}
	*left = *right = NULL;
}

/* All of `left` is below all of `right`. */
static struct bag_node *merge(struct bag_node *left, struct bag_node *right)
{
	struct bag_node *root = NULL, **to = &root;
	while (left && right) {
		if (left->priority > right->priority) {
			*to = left;
			to = &left->right;
			left = left->right;
		} else {
			*to = right;
			to = &right->left;
			right = right->left;
		}
	}
	*to = left ? left : right;
	return root;
}

static void insert(struct bag *b, struct bag_node *n)
{
	struct bag_node **to = &b->root;
	while (*to && (*to)->priority >= n->priority)
		to = bytes_compare(bag_key(n), bag_key(*to)) < 0 ? &(*to)->left : &(*to)->right;
	split(*to, bag_key(n), &n->left, &n->right);
	*to = n;
}

static void remove_key(struct bag *b, struct slab *slab, struct bytes key)
{
	struct bag_node **at = &b->root;
	while (*at) {
		int c = bytes_compare(key, bag_key(*at));
		if (c == 0)
			break;
		at = c < 0 ? &(*at)->left : &(*at)->right;
	}
	struct bag_node *n = *at;
	if (!n)
		return;
	*at = merge(n->left, n->right);
	slab_free(slab, n, node_len(n->key_len, n->payload_len));
}

enum err bag_set(
    struct bag *b, struct slab *slab, struct bytes key, struct bytes payload, int64_t count)
{
	if (count == 0) {
		remove_key(b, slab, key);
		return ERR_OK;
	}
	struct bag_node *n = find(b, key);
	if (n) {
		n->count = count;
		return ERR_OK;
	}
	n = slab_alloc(slab, node_len(key.len, payload.len));
	if (!n)
		return ERR_NOMEM;
	n->priority = map_hash(key);
	n->count = count;
	n->key_len = (uint32_t)key.len;
	n->payload_len = (uint32_t)payload.len;
	memcpy(n->bytes, key.ptr, key.len);
	if (payload.len > 0)
		memcpy(n->bytes + key.len, payload.ptr, payload.len);
	insert(b, n);
	return ERR_OK;
}

const struct bag_node *bag_first(const struct bag *b)
{
	const struct bag_node *n = b->root;
	while (n && n->left)
		n = n->left;
	return n;
}

const struct bag_node *bag_last(const struct bag *b)
{
	const struct bag_node *n = b->root;
	while (n && n->right)
		n = n->right;
	return n;
}

/* The tree is folded into a list to the right while it is freed, so that depth costs no stack. */
void bag_release(struct bag *b, struct slab *slab)
{
	struct bag_node *n = b->root;
	while (n) {
		if (n->left) {
			struct bag_node *left = n->left;
			n->left = left->right;
			left->right = n;
			n = left;
			continue;
		}
		struct bag_node *next = n->right;
		slab_free(slab, n, node_len(n->key_len, n->payload_len));
		n = next;
	}
	b->root = NULL;
}

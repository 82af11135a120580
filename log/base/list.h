/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Intrusive doubly linked list. The owner embeds `struct list_node`; the list never allocates. A
 * node is in at most one list; list_node_init before the first use makes list_remove safe to call
 * twice.
 */
#include <stdbool.h>
#include <stddef.h>

struct list_node {
	struct list_node *prev, *next;
};
struct list {
	struct list_node head;
};

#define CONTAINER_OF(ptr, type, member)                                                            \
	((type *)(void *)((char *)(void *)(ptr)-offsetof(type, member)))

static inline void list_node_init(struct list_node *n)
{
	n->prev = n->next = n;
}
static inline void list_init(struct list *l)
{
	list_node_init(&l->head);
}
static inline bool list_empty(const struct list *l)
{
	return l->head.next == &l->head;
}
static inline bool list_linked(const struct list_node *n)
{
	return n->next != n;
}
static inline void list_insert_before(struct list_node *at, struct list_node *n)
{
	n->prev = at->prev;
	n->next = at;
	at->prev->next = n;
	at->prev = n;
}
static inline void list_push_back(struct list *l, struct list_node *n)
{
	list_insert_before(&l->head, n);
}
static inline void list_push_front(struct list *l, struct list_node *n)
{
	list_insert_before(l->head.next, n);
}
static inline void list_remove(struct list_node *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_node_init(n);
}
static inline struct list_node *list_first(const struct list *l)
{
	return list_empty(l) ? NULL : l->head.next;
}
static inline struct list_node *list_last(const struct list *l)
{
	return list_empty(l) ? NULL : l->head.prev;
}
static inline struct list_node *list_pop_front(struct list *l)
{
	struct list_node *n = list_first(l);
	if (n)
		list_remove(n);
	return n;
}
/* Iterates while allowing the current node's removal. */
#define LIST_EACH(list_ptr, node, tmp)                                                             \
	for (struct list_node *node = (list_ptr)->head.next, *tmp = node->next;                    \
	     node != &(list_ptr)->head; node = tmp, tmp = node->next)
